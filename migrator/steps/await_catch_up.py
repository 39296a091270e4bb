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
        if not streams.find_subscriptions(ctx):
            return Absent()
        if streams.disabled(ctx):
            return Partial("the stream is disabled")
        tokens = drain.proven(ctx, FRESH)
        return Partial("the stream is enabled") if tokens is None else Done({"tokens": tokens})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Send heartbeats until one arrives within ``[cutover] max_lag``."""
        if streams.disabled(ctx):
            streams.enable(ctx)
        deadline = ctx.now() + ctx.config.replication.catch_up_timeout
        while True:
            left = deadline - ctx.now()
            try:
                lag = drain.round_trip(ctx, timeout=min(PATIENCE, max(left, 1)), interval=0.02).seconds
            except TimedOut as error:
                if left <= 0 or streams.disabled(ctx) or not streams.find_subscriptions(ctx):
                    raise
                late = ", ".join(error.fields.get("streams", ["the stream"]))
                ctx.note(f"more than {PATIENCE:g} s behind: {late}; still waiting")
                continue
            if lag <= ctx.config.cutover.max_lag:
                return

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a wait leaves nothing behind."""
