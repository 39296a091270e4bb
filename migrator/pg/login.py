"""What a session is given when a role logs in: by the server's files, the database, the role.

Our own sessions pin most of these, so they do not show them; the stream's processes and the application
get them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.session import ReadSession

# In the order of process_settings(): what is set for fewer sessions counts (documentation 19.1.3).
GIVEN = """
select distinct on (pg_catalog.lower(g.name)) pg_catalog.lower(g.name) as name, g.value, g.place
from (
    select split_part(c.setting, '=', 1) as name,
           substr(c.setting, strpos(c.setting, '=') + 1) as value,
           pg_catalog.concat_ws(
               ' in ',
               case when s.setrole <> 0 then 'role ' || pg_catalog.quote_ident(r.rolname)
                    when s.setdatabase = 0 then 'role all'
               end,
               case when s.setdatabase <> 0 then 'database ' || pg_catalog.quote_ident(d.datname) end
           ) as place,
           case when s.setrole = 0 then 2 else 0 end
           + case when s.setdatabase = 0 then 1 else 0 end
           + case when s.setrole = 0 and s.setdatabase = 0 then 1 else 0 end as rank,
           0 as number
    from pg_catalog.pg_db_role_setting s
    cross join lateral unnest(s.setconfig) as c (setting)
    left join pg_catalog.pg_roles r on r.oid = s.setrole
    left join pg_catalog.pg_database d on d.oid = s.setdatabase
    where (s.setrole = 0 or r.rolname = %(role)s)
      and (s.setdatabase = 0 or d.datname = current_database())
    union all
    select f.name, f.setting, '', 9, f.seqno
    from pg_catalog.pg_file_settings f
    where f.applied
) g
where pg_catalog.lower(g.name) = any (%(names)s)
order by pg_catalog.lower(g.name), g.rank, g.number desc
"""
UNITS = {"us": 0.001, "ms": 1, "s": 1000, "min": 60_000, "h": 3_600_000, "d": 86_400_000, "": 1}


def milliseconds(value: str) -> float:
    """Return how long a timeout is, as the server reads what is written."""
    found = re.fullmatch(r"([0-9.]+)\s*([a-z]*)", value.strip().lower())
    return float(found[1]) * UNITS.get(found[2], 1) if found else 0


@dataclass(frozen=True)
class Given:
    """A setting's value as it is written, and where: a role, a database; empty is the server's files."""

    value: str
    place: str

    @property
    def where(self) -> str:
        """Return where it is set, for people."""
        return self.place or "the server's configuration"

    def change(self, name: str, value: str) -> str:
        """Return the SQL that makes it another value, or that takes it away from a role or database."""
        if self.place:
            return f"alter {self.place} reset {name};"
        return f"alter system set {name} = {sql.Literal(value).as_string()}; -- then reload the server"


def given_at_login(session: ReadSession, role: str, names: Iterable[str]) -> dict[str, Given]:
    """Return, by name in lower case, which of the settings are written somewhere for the role's logins."""
    rows = session.rows(GIVEN, {"role": role, "names": [name.lower() for name in names]})
    return {row.name: Given(row.value, row.place) for row in rows}
