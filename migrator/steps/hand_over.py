"""Take the writes away from the source: fence, drain, sequences, commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import procedure

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class HandOver(Step):
    """Take the writes away from the source: fence, drain, sequences, commit.

    Changes: in one transaction on the source: the fence triggers are enabled, the database's default
    becomes read-only, the cutover is recorded. Before its commit the destination has applied
    everything, what the stream does not carry is copied again (``copy_unstreamed``), and the
    destination's sequences are set. The commit is the point of no return.
    Recognised by: the record of the cutover in the source's journal.
    Locks and cost: ``share row exclusive`` on every user table of the source, from the first lock to
    the commit: writers wait and see no error, readers go on. ``[cutover] max_pause`` bounds it. Where
    large objects are copied, ``pg_largeobject`` is locked too, and their readers wait as well; who still
    waits for one at the end is disconnected.
    If it fails: the transaction is rolled back by the server, whatever became of us, and the source
    serves on; run the same command again.
    Undo: not from here; before the commit there is nothing to undo.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record in the source's journal."""
        record = procedure.cutover_record(ctx)
        return Absent() if record is None else Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Hand over, within the budget."""
        parts = procedure.hand_over(ctx)["parts_ms"]
        held = sum(ms for part, ms in parts.items() if part != "connect")
        ctx.note(f"writes to the source were held back for {held:.0f} ms, and are refused from now on")
