"""Large objects: how many there are, and whose those of the destination are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from migrator.pg.registry import Registry
    from migrator.pg.session import ReadSession

AMOUNT = """
select count(*) as objects,
       (select pg_catalog.pg_relation_size('pg_catalog.pg_largeobject'::pg_catalog.regclass)) as bytes
from pg_catalog.pg_largeobject_metadata
"""
FOREIGN = """
select m.oid
from pg_catalog.pg_largeobject_metadata m
where not exists (select from {schema}.large_objects r where r.object = m.oid)
order by m.oid
limit 5
"""
# Where there is no record yet, every one is somebody else's.
EVERY = "select oid from pg_catalog.pg_largeobject_metadata order by oid limit 5"


class Amount(NamedTuple):
    """How many large objects there are, and the size of the table that holds them all."""

    objects: int
    bytes: int


def amount(session: ReadSession) -> Amount:
    """Count the large objects of a database."""
    return Amount(*session.rows(AMOUNT)[0])


def foreign_large_objects(registry: Registry) -> list[int]:
    """Return oids of large objects that we did not make, five at most."""
    rows = registry.rows(FOREIGN) if registry.is_ours() else registry.session.rows(EVERY)
    return [row.oid for row in rows]
