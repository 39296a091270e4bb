"""Drop the subscriptions on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import Declined
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import streams
from migrator.switchover.way_back import way_back

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class DropSubscription(Step):
    """Drop the subscriptions on both sides.

    Changes: drops our subscriptions, one for each stream and each way, which gives up the way back; their
    slots go with the next step. Asks once more while the way back is available (``--yes`` answers).
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

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what stops and drops each."""
        for way in (ctx, ctx.mirrored()):
            for statement in (*streams.stopping(way), *streams.dropping(way)):
                yield Statement(way.destination.side, statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Stop the streams and drop them, and their origins where they were left behind.

        A way back that is there is given up only when the operator says so once more.
        """
        back = way_back(ctx)
        if back.startswith(("available", "degraded")) and not ctx.confirm(
            f"The way back is {back}. Give it up for good?"
        ):
            raise Declined(
                "the way back is kept, and nothing was dropped",
                hint="migrator rollback-to replicating uses it; migrator advance asks again",
            )
        for way in (ctx, ctx.mirrored()):
            streams.drop(way)
            streams.drop_left_origins(way)
