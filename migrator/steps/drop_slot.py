"""Drop the replication slot on the source, which keeps WAL from being recycled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.snapshot import EVENT, drop_slot, find_slot
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropSlot(Step):
    """Drop the replication slot on the source, which keeps WAL from being recycled.

    Changes: drops our slot.
    Recognised by: no slot of our name, and no record of one.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the slot."""
        slot = find_slot(ctx)
        if slot is None and Registry(ctx.source, ctx.names).read(EVENT) is not None:
            return Partial("the slot is gone and its record is left")
        if slot is None:
            return Done({"dropped": ctx.names.slot})
        if not slot.ours:
            return Conflict(f"replication slot {ctx.names.slot} was not recorded by migrator")
        return Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop it; a reader that still holds it is ended first."""
        drop_slot(ctx)
