"""Our publication on the source: whose it is, and how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

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


def drop(session: WriteSession, names: Names) -> None:
    """Drop the publication if it is there and ours."""
    if ownership(session, names) is Ownership.OURS:
        session.run(sql.SQL(DROP).format(name=sql.Identifier(names.publication)))
