"""Start the forward stream again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import opening, opposite
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class RestartStream(Step):
    """Start the forward stream again.

    Changes: the settings that would act on the stream's worker are held back on the destination again, the
    forward subscription is enabled, and the slots of the stream that led back are dropped.
    Recognised by: the subscription enabled, no slot of ours left on the destination.
    Locks and cost: none.
    If it fails: the source serves, and keeps WAL for the destination; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look at the subscription and for slots of the way back."""
        back = ctx.mirrored()
        if handed_over(back) is None:
            return Absent()
        if opposite.is_live(back):
            return Done({"stream": "live"})
        return Partial("the forward stream does not run, or a slot of the way back is left")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Hold the settings back, then start it."""
        opening.hold_back(ctx)
        opposite.begin(ctx.mirrored())
