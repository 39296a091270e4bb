"""Gather the planner's statistics, without which every plan on the destination is a guess."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.catalog import USER_SCHEMA
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "analyzed"

# Roots too: the statistics of a whole partitioned table come from its own ANALYZE.
TABLES = f"""
select c.oid, n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
order by c.relkind = 'p', pg_catalog.pg_relation_size(c.oid) desc
"""
ANALYZE = "analyze {table}"


class AnalyzeTables(Step):
    """Gather the planner's statistics, without which every plan on the destination is a guess.

    Changes: ``analyze`` of every table, partitioned table and materialized view on the destination.
    Recognised by: the destination's journal names every such table, by its object id.
    Locks and cost: nothing on the source; ``share update exclusive`` on one table at a time.
    If it fails: what is analyzed stays so; the next run does the rest.
    Undo: forgets the record; statistics do no harm.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the tables with the record."""
        done = set((Registry(ctx.destination, ctx.names).read(EVENT) or {}).get("tables", []))
        wanted = {row.oid for row in ctx.destination.rows(TABLES)}
        if wanted <= done and done:
            return Done({"tables": len(wanted)})
        return Partial(f"{len(done)} of {len(wanted)} tables") if done else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Analyze what is not recorded yet."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        done = list((registry.read(EVENT) or {}).get("tables", []))
        tables = ctx.destination.rows(TABLES)
        with session.bounded(LOCK_TIMEOUT):
            for number, row in enumerate(tables, 1):
                if row.oid not in done:
                    statement = sql.SQL(ANALYZE).format(table=sql.Identifier(row.schema, row.name))
                    patiently(partial(session.run, statement), ctx.sleep, what=f"analyzing {row.name}")
                    done.append(row.oid)
                    if number % 100 == 0:
                        registry.record(EVENT, {"tables": done})
                ctx.progress(number, len(tables), "tables", f"{row.schema}.{row.name}")
        registry.record(EVENT, {"tables": done})

    def undo(self, ctx: WriteContext) -> None:
        """Forget the record."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            registry.forget(EVENT)
