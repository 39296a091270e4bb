"""Let the destination take the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import fence, streams
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "opened"


class OpenDestination(Step):
    """Let the destination take the writes.

    Changes: stops the forward stream, which has nothing left to bring; disables the destination's
    fence triggers and resets its read-only default.
    Recognised by: the record in the destination's journal, and no fence trigger enabled.
    Locks and cost: ``share row exclusive`` on the destination's tables, where nobody writes yet.
    If it fails: the source stays fenced and the destination closed; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record, and for a fence that is still up."""
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        if cutover_record(ctx) is None or record is None:
            return Absent()
        closed = fence.fenced_tables(ctx.destination, ctx.names, up=True)
        if closed:
            return Partial(f"{len(closed)} tables are still fenced")
        return Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Open everything in one transaction, after the stream is stopped."""
        subscription = streams.find_subscription(ctx)
        if subscription is not None and subscription.ours and subscription.enabled:
            streams.disable(ctx)
        session = ctx.write_destination
        closed = fence.fenced_tables(session, ctx.names, up=True)
        with session.transaction():
            fence.switch(session, ctx.names, closed, up=False)
            fence.set_read_only(session, ctx.destination_server.database, on=False)
            WritableRegistry(session, ctx.names).record(EVENT, {"tables": len(closed)})
