"""The tables of extensions that hold rows of the user."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

# An extension says of each such table which rows are the user's, as pg_dump asks for them.
CONFIGURATION = """
select e.extname as extension,
       c.oid::pg_catalog.regclass::text as relation,
       pg_catalog.format(
           'select exists (select from %s %s)', c.oid::pg_catalog.regclass, t.condition) as query
from pg_catalog.pg_extension e
cross join lateral unnest(e.extconfig, e.extcondition) as t (oid, condition)
join pg_catalog.pg_class c on c.oid = t.oid
where c.relkind in ('r', 'p')
order by 1, 2
"""


class ExtensionTable(NamedTuple):
    """One table of an extension, quoted as SQL wants it."""

    extension: str
    relation: str


def tables_with_rows(session: ReadSession) -> list[ExtensionTable]:
    """Return the extensions' tables with rows that the extension calls the user's."""
    return [
        ExtensionTable(row.extension, row.relation)
        for row in session.rows(CONFIGURATION)
        if session.value(row.query)
    ]
