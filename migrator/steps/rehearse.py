"""Rehearse the cutover up to the drain, and take the fence away again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import procedure
from migrator.switchover.records import REHEARSAL, handed_over, rehearsal

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

FRESH = 10.0


class Rehearse(Step):
    """Rehearse the cutover up to the drain, and take the fence away again.

    Changes: nothing that stays but the record of it: small tables are looked at as before the cutover;
    writers are kept out as ``[cutover] fence`` says, which with ``read_only`` ends their sessions, the router
    holds new transactions back, the fence is raised in a transaction, the stream drained, the sequences
    compared; then everything is rolled back and the application goes on. The real cutover adds what comes
    after: stopping the stream, the slot of the way back, the commit, opening the destination, switching the
    route.
    Recognised by: the record in the source's journal, of this moment.
    Locks and cost: writers wait for as long as they will at the cutover; with the fence ``lock`` they see no
    error.
    If it fails: the source serves on; the message says where the time went or who was in the way.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Look for a record of just now."""
        if handed_over(ctx) is not None:
            return Done({"cutover": True})
        last = rehearsal(ctx.source, ctx.names)
        return Done(last) if last and last["age_seconds"] < FRESH else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Hold the writers back, measure, let them go."""
        watch = procedure.hand_over(ctx, rehearse=True)
        WritableRegistry(ctx.write_source, ctx.names).record(
            REHEARSAL, {"total_ms": watch.total, "parts_ms": watch.parts}
        )
        ctx.note(f"writers were held back for {watch.total:.0f} ms: {watch.told}")

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a rehearsal leaves nothing behind."""
