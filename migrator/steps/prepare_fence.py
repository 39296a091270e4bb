"""Create the source's fence triggers, disabled, while writes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.catalog import all_tables
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import fence
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class PrepareFence(Step):
    """Create the source's fence triggers, disabled, while writes go on.

    Changes: a disabled statement trigger on every user table of the source, and its function in our
    schema. Disabled triggers cost the application nothing.
    Recognised by: our trigger on every user table.
    Locks and cost: ``share row exclusive`` for an instant per table; it waits ``[copy] lock_timeout``
    at most, then gives way and tries again, naming who is in the way.
    If it fails: the triggers made so far stay, disabled; the next run makes the rest.
    Undo: drops the triggers.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the tables with the triggers that stand."""
        if cutover_record(ctx) is not None:
            return Done({"cutover": True})
        theirs = fence.in_the_way(ctx.source, ctx.names)
        if theirs:
            return Conflict(theirs, "rename or drop them")
        tables = all_tables(ctx.source)
        found = fence.states(ctx.source, ctx.names)
        if not found:
            return Absent() if tables else Done({"tables": 0})
        if not Registry(ctx.source, ctx.names).is_ours():
            return Conflict(
                f"the source has triggers named {ctx.names.fence} that migrator did not record",
                "drop them",
            )
        if any(found.values()):
            return Partial("the fence is up without a cutover (alter table … enable trigger all?)")
        have = sum(t.oid in found for t in tables)
        if have == len(tables):
            return Done({"tables": have})
        return Partial(f"{have} of {len(tables)} tables have their trigger")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create what is missing, and lower what somebody else has raised."""
        fence.switch_one_by_one(ctx, ctx.write_source, up=False)
        where = ctx.destination_server.where
        fence.prepare(ctx, ctx.write_source, f"this database has moved to {where}")

    def undo(self, ctx: WriteContext) -> None:
        """Drop the triggers."""
        if Registry(ctx.source, ctx.names).is_ours() and cutover_record(ctx) is None:
            fence.drop(ctx, ctx.write_source)
