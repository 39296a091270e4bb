"""The sequences that a database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, label

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

SEQUENCES = (
    """
select c.oid,
       n.nspname as schema,
       c.relname as name,
       s.seqstart as start,
       s.seqincrement as increment,
       s.seqmin as minimum,
       s.seqmax as maximum,
       s.seqcycle as cycle
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_sequence s on s.seqrelid = c.oid
where c.relkind = 'S'
  and c.relpersistence <> 't'
  and """
    + USER_SCHEMA
    + " and "
    + NOT_OF_EXTENSION
    + " order by n.nspname, c.relname"
)


@dataclass(frozen=True)
class Sequence:
    """One sequence and its limits."""

    oid: int
    schema: str
    name: str
    start: int
    increment: int
    minimum: int
    maximum: int
    cycle: bool

    @property
    def identifier(self) -> sql.Identifier:
        """Return the sequence's name for use in SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def label(self) -> str:
        """Return the sequence's name for people and as a key."""
        return label(self.schema, self.name)


def sequences(session: ReadSession) -> list[Sequence]:
    """Return all user sequences: owned, identity and standalone ones."""
    return [Sequence(**row._asdict()) for row in session.rows(SEQUENCES)]
