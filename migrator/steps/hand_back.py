"""Take the writes away from the destination and give them back to the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Evidence, Found, Partial, Step
from migrator.switchover import procedure
from migrator.switchover.records import handed_over, pause

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class HandBack(Step):
    """Take the writes away from the destination and give them back to the source.

    Changes: what ``hand_over`` does, with the roles swapped: fence on the destination, drain of the stream
    that leads back, sequences of the source, a fresh forward slot, commit; then the source is opened and
    the application led there. Nothing that was written on the destination is lost.
    Recognised by: the record in the destination's journal, newer than the cutover's.
    Locks and cost: ``share row exclusive`` on every user table of the destination until the commit.
    If it fails: before the commit the destination serves on, after it ``migrator rollback-to replicating``
    completes the way back.
    Undo: not from here; ``migrator advance`` is the way forward again.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record in the destination's journal."""
        record = handed_over(ctx.mirrored())
        return Absent() if record is None else Done(record)

    def verify(self, ctx: ReadContext) -> Evidence:
        """Look for the record, and for where the pause went."""
        with procedure.past_no_return():
            return {**super().verify(ctx), **pause(ctx.mirrored())}

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Hand back, within the budget."""
        back = ctx.mirrored()
        watch = procedure.switch_over(back)
        procedure.record_parts(back, watch)
        ctx.note(f"writes were held back for {watch.total:.0f} ms: {watch.told}")
