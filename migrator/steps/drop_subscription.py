"""Drop the subscription on the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropSubscription(Step):
    """Drop the subscription on the destination.

    Changes: drops our subscription; its slot goes with the next step.
    Recognised by: no subscription of our name, and no origin of the one we dropped.
    Locks and cost: none that others feel.
    If it fails: run the same command again.
    Undo: not from here; the destination is its own master.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the subscription."""
        found = streams.find_subscription(ctx)
        if found is None:
            origin = streams.left_origin(ctx)
            if origin is not None:
                return Partial(f"origin {origin} is left")
            return Done({"dropped": ctx.names.subscription})
        if not found.ours:
            return Conflict(f"subscription {ctx.names.subscription} does not carry our mark")
        return Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Stop the stream and drop it, and its origin where that was left behind."""
        streams.drop(ctx)
        streams.drop_left_origin(ctx)
