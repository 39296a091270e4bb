"""Gather the planner's statistics, without which every plan on the destination is a guess."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.copy.builder import POOL, Builder, build_all
from migrator.copy.scheduler import Task
from migrator.pg.catalog import USER_SCHEMA, label
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import WriteSession

EVENT = "analyzed"
# After so many tables it is recorded which are done.
OFTEN = 500

# Roots too: the statistics of a whole partitioned table come from its own ANALYZE.
TABLES = f"""
select c.oid,
       n.nspname as schema,
       c.relname as name,
       pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
order by c.relkind = 'p', bytes desc
"""
ANALYZE = "analyze {table}"


class AnalyzeTables(Step):
    """Gather the planner's statistics, without which every plan on the destination is a guess.

    Changes: ``analyze`` of every table, partitioned table and materialized view on the destination.
    Recognised by: the destination's journal names every such table, by its object id.
    Locks and cost: nothing on the source; ``share update exclusive`` on ``[copy] index_jobs``
    tables at a time.
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
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        tables = ctx.destination.rows(TABLES)
        known = set((registry.read(EVENT) or {}).get("tables", []))
        done = [row.oid for row in tables if row.oid in known]

        def analyze(row: Any, session: WriteSession) -> None:
            statement = sql.SQL(ANALYZE).format(table=sql.Identifier(row.schema, row.name))
            with session.bounded(LOCK_TIMEOUT):
                patiently(partial(session.run, statement), ctx.sleep, what=f"analyzing {row.name}")

        async def run(row: Any, worker: Builder) -> None:
            await worker.do(partial(analyze, row, worker.session))
            done.append(row.oid)
            if len(done) % OFTEN == 0:
                registry.record(EVENT, {"tables": done})
            ctx.progress(len(done), len(tables), "tables", label(row.schema, row.name))

        left = [row for row in tables if row.oid not in known]
        build_all(ctx, [Task(row.name, POOL, row.bytes, partial(run, row)) for row in left])
        registry.record(EVENT, {"tables": done})

    def undo(self, ctx: WriteContext) -> None:
        """Forget the record."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            registry.forget(EVENT)
