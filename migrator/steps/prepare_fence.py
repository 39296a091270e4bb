"""Create the source's fence triggers, lowered, while writes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.catalog import all_tables
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import fence, readiness
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class PrepareFence(Step):
    """Create the source's fence triggers, lowered, while writes go on.

    Changes: a statement trigger on every user table of the source, and its function in our schema, which
    does nothing until the cutover replaces it: some microseconds for each statement that writes.
    Recognised by: our trigger on every user table, the fence down.
    Locks and cost: ``share row exclusive`` for an instant per table; it waits ``[copy] lock_timeout``
    at most, then gives way and tries again, naming who is in the way.
    If it fails: the triggers made so far stay, lowered; the next run makes the rest.
    Undo: a stream or a router that a killed run left stopped goes on; drops the triggers.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the tables with the triggers that stand."""
        if handed_over(ctx) is not None:
            return Done({"cutover": True})
        theirs = fence.in_the_way(ctx.source, ctx.names)
        if theirs:
            return Conflict(theirs, "rename or drop them")
        tables = all_tables(ctx.source)
        covered = fence.covered(ctx.source, ctx.names)
        if not fence.standing(ctx.source, ctx.names):
            return Absent() if tables else Done({"tables": 0})
        if not Registry(ctx.source, ctx.names).is_ours():
            return Conflict(
                f"the source has triggers named {ctx.names.fence} that migrator did not record",
                "drop them",
            )
        if fence.is_up(ctx.source, ctx.names):
            return Partial("the fence is up without a cutover")
        have = sum(t.oid in covered for t in tables)
        if have == len(tables):
            return Done({"tables": have})
        return Partial(f"{have} of {len(tables)} tables have their trigger")

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the function that lets everything through, and the triggers."""
        yield Statement("source", fence.lowering(ctx.names).as_string())
        for trigger in fence.triggers(ctx.source, ctx.names, self._hint(ctx)):
            yield Statement("source", trigger.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create what is missing."""
        fence.prepare(ctx, ctx.write_source, self._hint(ctx), up=False)

    def undo(self, ctx: WriteContext) -> None:
        """Take up what a killed run left stopped, then drop the triggers."""
        if Registry(ctx.source, ctx.names).is_ours() and handed_over(ctx) is None:
            readiness.take_up(ctx)
            fence.drop(ctx, ctx.write_source)

    def _hint(self, ctx: ReadContext) -> str:
        return f"this database has moved to {ctx.destination_server.where}"
