"""Make sure that the writes can be given back to the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import fence, readiness
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class PrepareBack(Step):
    """Make sure that the writes can be given back to the source.

    Changes: fence triggers, lowered, on tables that the destination has got since; one row of our heartbeat
    table; a stream that a killed run left stopped runs again, and a router that it left paused lets go.
    Recognised by: all gates open, asked with the roles swapped, and a fresh heartbeat that has arrived.
    Locks and cost: ``share row exclusive`` for an instant on each new table.
    If it fails: the application goes on at the destination; the message names each closed gate.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Ask every gate."""
        back = ctx.mirrored()
        if handed_over(back) is not None:
            return Done({"back": True})
        why = readiness.closed(back)
        if why:
            return Partial("; ".join(why))
        tokens = readiness.proven(back)
        return Partial("the stream's lag is to be measured") if tokens is None else Done({"tokens": tokens})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Complete the fence, then ask the gates and measure the lag."""
        back = ctx.mirrored()
        where = ctx.source_server.where
        fence.prepare(back, back.write_source, f"this database has moved back to {where}", up=False)
        readiness.make_ready(back, then="migrator rollback-to replicating")

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a gate leaves nothing behind."""
