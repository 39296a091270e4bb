"""Drop the subscriptions on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropSubscription(Step):
    """Drop the subscriptions on both sides.

    Changes: drops our subscriptions, one for each stream and each way, which gives up the way back; their
    slots go with the next step.
    Recognised by: no subscription of our name, and no origin of those we dropped.
    Locks and cost: none that others feel.
    If it fails: run the same command again.
    Undo: not from here; the destination is its own master.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the subscriptions."""
        ways = (ctx, ctx.mirrored())
        found = [s for way in ways for s in streams.find_subscriptions(way)]
        if not found:
            origins = [origin for way in ways for origin in streams.dropped_origins(way)]
            if origins:
                return Partial(f"origin {', '.join(origins)} may be left")
            return Done({"dropped": ctx.names.subscription})
        theirs = streams.unmarked(found)
        return Conflict(f"subscription {theirs} does not carry our mark") if theirs else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Stop the streams and drop them, and their origins where they were left behind."""
        for way in (ctx, ctx.mirrored()):
            streams.drop(way)
            streams.drop_left_origins(way)
