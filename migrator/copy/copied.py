"""Which tables' rows are in, as the destination itself records it in each copy's own transaction.

A table that is copied in pieces counts when all of them are in and come from one snapshot: pieces of
two snapshots would hold a row that moved between them twice, or never. Each table carries the position in
the source's history that its snapshot stands for; the stream carries what was committed from there on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.registry import Registry, WritableRegistry

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.catalog import Table

# Since the slot was made: what an older slot's snapshot gave, no stream continues.
WHOLE = """
select n.nspname as schema,
       c.relname as name,
       min(k.position)::text as position,
       sum(k.rows)::bigint as rows,
       sum(k.bytes)::bigint as bytes
from {schema}.copied k
join pg_catalog.pg_class c on c.oid = k.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.position >= %s::pg_lsn
group by n.nspname, c.relname
having count(*) = max(k.pieces)
   and min(k.pieces) = max(k.pieces)
   and min(k.position) = max(k.position)
"""
ANY = "select exists (select from {schema}.copied) as any"
FILLED = """
select distinct n.nspname as schema, c.relname as name, c.oid
from {schema}.copied k
join pg_catalog.pg_class c on c.oid = k.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
FORGET = "delete from {schema}.copied where relation = any (%s)"
TRUNCATE = "truncate only {tables}"


@dataclass(frozen=True)
class Copied:
    """A table whose rows are all in, and the position from which the stream carries it."""

    position: str
    rows: int
    bytes: int


def whole(ctx: ReadContext, since: str) -> dict[tuple[str, str], Copied]:
    """Return the tables that are in as a whole, by schema and name, of the slot made at ``since``."""
    rows = Registry(ctx.destination, ctx.names).rows(WHOLE, [since])
    return {(r.schema, r.name): Copied(r.position, r.rows, r.bytes) for r in rows}


def is_anything(ctx: ReadContext) -> bool:
    """Return whether any rows are recorded as copied, whichever slot they belong to."""
    rows = Registry(ctx.destination, ctx.names).rows(ANY)
    return bool(rows and rows[0].any)


def empty(ctx: WriteContext, tables: list[Table] | None = None) -> None:
    """Empty what was filled and forget it, in one transaction: all tables, or only those given."""
    session = ctx.write_destination
    registry = WritableRegistry(session, ctx.names)
    filled = registry.rows(FILLED)
    if tables is not None:
        wanted = {(t.schema, t.name) for t in tables}
        filled = [r for r in filled if (r.schema, r.name) in wanted]
    if not filled:
        return
    identifiers = [sql.Identifier(r.schema, r.name) for r in filled]
    with session.transaction():
        session.run(sql.SQL(TRUNCATE).format(tables=sql.SQL(", only ").join(identifiers)))
        registry.run(FORGET, [[r.oid for r in filled]])
