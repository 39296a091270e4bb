"""Lead the application back to the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import routing

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class SwitchRouteBack(Step):
    """Lead the application back to the source.

    Changes: what ``switch_route`` does, with the roles swapped.
    Recognised by: the record in the source's journal, written when the router is done.
    Locks and cost: none.
    If it fails: the destination stays fenced and the source takes writes; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record."""
        record = routing.routed(ctx.mirrored())
        return Absent() if record is None else Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Ask the router, then record it."""
        routing.lead(ctx.mirrored())
