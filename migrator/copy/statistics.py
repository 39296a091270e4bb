"""The gathering of the planner's statistics as tasks: each table's as soon as its indexes are there."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.builder import POOL, Builder
from migrator.copy.scheduler import Task
from migrator.pg.catalog import USER_SCHEMA, label
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, WriteContext
    from migrator.copy.scheduler import Name, Ready
    from migrator.pg.catalog import Table
    from migrator.pg.session import WriteSession

EVENT = "analyzed"
# After so many tables it is recorded which are done.
OFTEN = 500
# ANALYZE looks at 30,000 pages at most (of the default statistics target), and at small tables together.
MOST = 30_000 * 8192
SMALL = 4 * 1024 * 1024
TOGETHER = 100

# Roots too: the statistics of a whole partitioned table come from its own ANALYZE.
TABLES = f"""
select c.oid,
       n.nspname as schema,
       c.relname as name,
       c.relkind::text as kind,
       pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
order by c.relkind = 'p', bytes desc
"""
# What ANALYZE fills for them comes after them, with the rest of the schema.
WITH_STATISTICS_OBJECTS = """
select distinct n.nspname as schema, c.relname as name
from pg_catalog.pg_statistic_ext s
join pg_catalog.pg_class c on c.oid = s.stxrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
ANALYZE = "analyze {tables}"


@dataclass(frozen=True)
class Analyzed:
    """A table of the destination to gather statistics of."""

    oid: int
    schema: str
    name: str
    kind: str
    bytes: int


class Statistics:
    """What is analyzed and what is left, as the destination's journal has it."""

    def __init__(self, ctx: ReadContext) -> None:
        self.tables = [Analyzed(**row._asdict()) for row in ctx.destination.rows(TABLES)]
        known = set((Registry(ctx.destination, ctx.names).read(EVENT) or {}).get("tables", []))
        self.done = [t.oid for t in self.tables if t.oid in known]
        self._recorded = len(self.done)

    @property
    def left(self) -> list[Analyzed]:
        """Return the tables that are not analyzed yet, the largest first and roots last."""
        done = set(self.done)
        return [t for t in self.tables if t.oid not in done]

    def tasks(
        self, ctx: WriteContext, tables: list[Analyzed], ready: Ready, tell: Callable[[str], None]
    ) -> list[Task]:
        """Return the work of analyzing ``tables``, each when it is ``ready``; what comes next waits for it.

        Small ones are analyzed together: a statement costs more than they do.
        """

        async def run(these: list[Analyzed], worker: Builder) -> None:
            await worker.do(lambda: _analyze(ctx, these, worker.session))
            self.done += [t.oid for t in these]
            if len(self.done) - self._recorded >= OFTEN:
                self.record(ctx)
            tell(f"analyze {label(these[-1].schema, these[-1].name)}")

        together = TOGETHER if ctx.destination_server.has(Feature.ANALYZE_SEVERAL) else 1
        made: list[Task] = []
        for these in _groups(tables, together):
            names = [(t.schema, t.name) for t in these]
            cost = sum(min(t.bytes, MOST) for t in these)
            made.append(Task(f"analyze {these[0].name}", POOL, cost, partial(run, these), ready.when(names)))
            ready.after(names, made[-1])
        return made

    def record(self, ctx: WriteContext) -> None:
        """Write into the destination's journal what is analyzed."""
        WritableRegistry(ctx.write_destination, ctx.names).record(EVENT, {"tables": self.done})
        self._recorded = len(self.done)


def during_copy(ctx: ReadContext, statistics: Statistics, copied: dict[Name, Table]) -> list[Analyzed]:
    """Return which of the tables that are being copied have by then all that ANALYZE fills, with the
    sizes that they are going to have.
    """
    later = {(row.schema, row.name) for row in ctx.source.rows(WITH_STATISTICS_OBJECTS)}
    return [
        replace(t, bytes=copied[name].bytes)
        for t in statistics.left
        if (name := (t.schema, t.name)) in copied and name not in later
    ]


def _groups(tables: list[Analyzed], together: int) -> list[list[Analyzed]]:
    groups: list[list[Analyzed]] = []
    filling: list[Analyzed] = []
    for table in tables:
        if table.bytes >= SMALL or table.kind != "r":
            groups.append([table])
            continue
        if not filling or len(filling) >= together:
            filling = []
            groups.append(filling)
        filling.append(table)
    return groups


def _analyze(ctx: WriteContext, tables: list[Analyzed], session: WriteSession) -> None:
    statement = sql.SQL(ANALYZE).format(
        tables=sql.SQL(", ").join(sql.Identifier(t.schema, t.name) for t in tables)
    )
    with session.bounded(LOCK_TIMEOUT):
        patiently(partial(session.run, statement), ctx.sleep, what=f"analyzing {tables[0].name}")
