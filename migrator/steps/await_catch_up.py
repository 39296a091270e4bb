"""Wait until the stream has caught up with the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import TimedOut
from migrator.pg.registry import Registry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import drain, streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

FRESH = 60.0
PATIENCE = 10.0


class AwaitCatchUp(Step):
    """Wait until the stream has caught up with the source.

    Changes: one row of our heartbeat table, on the source.
    Recognised by: the destination shows the source's newest heartbeat, and that one is fresh.
    Locks and cost: none.
    If it fails: the stream is not live, or slower than the source; ``migrator status`` shows its lag.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the newest heartbeat on both sides."""
        if not Registry(ctx.source, ctx.names).is_ours():
            return Absent()
        if Registry(ctx.source, ctx.names).read("cutover") is not None:
            return Done({"cutover": True})
        found = streams.find_subscription(ctx)
        if found is None:
            return Absent()
        token, age = drain.source_token(ctx)
        if found.enabled and token > 0 and drain.arrived(ctx) >= token and age < FRESH:
            return Done({"token": token})
        return Partial("the stream is enabled" if found.enabled else "the stream is disabled")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Send heartbeats until one arrives within ``[cutover] max_lag``."""
        subscription = streams.find_subscription(ctx)
        if subscription is not None and subscription.ours and not subscription.enabled:
            streams.enable(ctx)
        deadline = ctx.now() + ctx.config.replication.catch_up_timeout
        while True:
            left = deadline - ctx.now()
            try:
                lag = drain.round_trip(ctx, timeout=min(PATIENCE, max(left, 1)), interval=0.02).seconds
            except TimedOut:
                subscription = streams.find_subscription(ctx)
                if left <= 0 or subscription is None or not subscription.enabled:
                    raise
                ctx.note(f"the stream is more than {PATIENCE:g} s behind; still waiting")
                continue
            if lag <= ctx.config.cutover.max_lag:
                return

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a wait leaves nothing behind."""
