"""The sequences that a database holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, Relation

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


@dataclass(frozen=True, slots=True)
class Sequence(Relation):
    """One sequence and its limits."""

    start: int
    increment: int
    minimum: int
    maximum: int
    cycle: bool


def sequences(session: ReadSession) -> list[Sequence]:
    """Return all user sequences: owned, identity and standalone ones."""
    return [Sequence(**row._asdict()) for row in session.rows(SEQUENCES)]
