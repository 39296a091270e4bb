"""Our publication on the source: whose it is, and how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import ChecksBlocked
from migrator.pg.catalog import Table, unidentified
from migrator.pg.registry import Ownership

if TYPE_CHECKING:
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

FIND = """
select pg_catalog.obj_description(oid, 'pg_publication') as mark
from pg_catalog.pg_publication
where pubname = %s
"""
DROP = "drop publication {name}"


def ownership(session: ReadSession, names: Names) -> Ownership:
    """Say whether the publication is there and carries our mark."""
    row = session.row(FIND, [names.publication])
    if row is None:
        return Ownership.ABSENT
    return Ownership.OURS if row.mark == names.mark else Ownership.FOREIGN


def refuse_unidentified(tables: list[Table]) -> None:
    """Raise ChecksBlocked when publishing would make the application's UPDATE and DELETE fail."""
    bad = unidentified(tables)
    if bad:
        raise ChecksBlocked(
            "publishing these tables would make UPDATE and DELETE on them fail at once, because they "
            "have no usable replica identity: " + ", ".join(t.label for t in bad),
            hint="; ".join(f"alter table {t.label} replica identity full" for t in bad[:5]),
            tables=[t.label for t in bad],
        )


def drop(session: WriteSession, names: Names) -> None:
    """Drop the publication if it is there and ours."""
    if ownership(session, names) is Ownership.OURS:
        session.run(sql.SQL(DROP).format(name=sql.Identifier(names.publication)))
