"""Gather the planner's statistics, without which every plan on the destination is a guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.builder import build_all
from migrator.copy.scheduler import Ready
from migrator.copy.statistics import EVENT, Statistics
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


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
        statistics = Statistics(ctx)
        if not statistics.left and statistics.done:
            return Done({"tables": len(statistics.done)})
        done, total = len(statistics.done), len(statistics.tables)
        return Partial(f"{done} of {total} tables") if done else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Analyze what is not recorded yet."""
        statistics = Statistics(ctx)

        def tell(what: str) -> None:
            ctx.progress(len(statistics.done), len(statistics.tables), "tables", what)

        build_all(ctx, statistics.tasks(ctx, statistics.left, Ready(), tell))
        statistics.record(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Forget the record."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            registry.forget(EVENT)
