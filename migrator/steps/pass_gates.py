"""Make sure that everything which must hold right before the fence holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import readiness
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class PassGates(Step):
    """Make sure that everything which must hold right before the fence holds.

    Changes: one row of our heartbeat table; a stream that a killed cutover left stopped runs again, and
    a router that it left paused lets go.
    Recognised by: all gates open, and a fresh heartbeat that has arrived.
    Locks and cost: none.
    If it fails: nothing has happened to the application; the message names each closed gate.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Ask every gate."""
        if handed_over(ctx) is not None:
            return Done({"cutover": True})
        why = readiness.closed(ctx)
        if why:
            return Partial("; ".join(why))
        tokens = readiness.proven(ctx)
        return Partial("the stream's lag is to be measured") if tokens is None else Done({"tokens": tokens})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Start a stopped stream, then measure its lag."""
        readiness.make_ready(ctx, then="migrator advance")

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a gate leaves nothing behind."""
