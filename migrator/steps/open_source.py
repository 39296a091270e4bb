"""Let the source take the writes again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import opening
from migrator.switchover.records import opened

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class OpenSource(Step):
    """Let the source take the writes again.

    Changes: stops the stream that leads back when it has brought the last tokens; the source's fence lets
    everything through again and its read-only default is reset; the cutover is forgotten.
    Recognised by: the record in the source's journal, written in the same transaction.
    Locks and cost: no table's lock; milliseconds.
    If it fails: both sides stay closed; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record."""
        record = opened(ctx.mirrored())
        return Absent() if record is None else Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Open everything in one transaction."""
        opening.open_destination(ctx.mirrored())
