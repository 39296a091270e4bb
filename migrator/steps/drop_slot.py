"""Drop the replication slot on the source, which keeps WAL from being recycled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.snapshot import EVENT, drop_slots, find_slots
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropSlot(Step):
    """Drop the replication slot on the source, which keeps WAL from being recycled.

    Changes: drops our slots, one for each stream.
    Recognised by: no slot of our name, and no record of one.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the slots."""
        slots = find_slots(ctx)
        theirs = ", ".join(s.stream.slot for s in slots if not s.ours)
        if theirs:
            return Conflict(f"replication slot {theirs} was not recorded by migrator")
        if slots:
            return Absent()
        events = [stream.event(EVENT) for stream in ctx.names.streams]
        if Registry(ctx.source, ctx.names).read_some(events):
            return Partial("the slot is gone and its record is left")
        return Done({"dropped": ctx.names.slot})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop them; a reader that still holds one is ended first."""
        drop_slots(ctx)
