"""Wait until the stream has caught up with the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import GateClosed, TimedOut
from migrator.pg.registry import Registry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import drain, gates, streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

FRESH = 60.0
PATIENCE = 10.0
# For so many times its patience the worker may fail and start again: a source that is being restarted,
# or a network that is cut, is among what makes it fail.
FAILINGS = 6


class AwaitCatchUp(Step):
    """Wait until the stream has caught up with the source.

    Changes: one row of our heartbeat table, on the source.
    Recognised by: the destination shows the source's newest heartbeat, and that one is fresh.
    Locks and cost: none.
    If it fails: tables were changed in a way that the stream does not carry, which are named; or the
    stream is not live, or its worker fails again and again (the destination's server log
    says why), or it is slower than the source; ``migrator status`` shows its lag.
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
            why = gates.tables_have_changed(ctx)
            return Partial("; ".join(why)) if why else Done({"token": token})
        return Partial("the stream is enabled" if found.enabled else "the stream is disabled")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Send heartbeats until one arrives within ``[cutover] max_lag``.

        Raises GateClosed when tables were changed in a way that the stream does not carry.
        """
        _require_unchanged(ctx)
        subscription = streams.find_subscription(ctx)
        if subscription is not None and subscription.ours and not subscription.enabled:
            streams.enable(ctx)
        deadline = ctx.now() + ctx.config.replication.catch_up_timeout
        failings, errors = 0, _errors(ctx)
        while True:
            left = deadline - ctx.now()
            try:
                lag = drain.round_trip(ctx, timeout=min(PATIENCE, max(left, 1)), interval=0.02).seconds
            except TimedOut:
                subscription = streams.find_subscription(ctx)
                if left <= 0 or subscription is None or not subscription.enabled:
                    raise
                seen, errors = errors, _errors(ctx)
                failings = failings + 1 if errors > seen else 0
                if failings >= FAILINGS:
                    raise _stuck(ctx, errors) from None
                ctx.note(f"the stream is more than {PATIENCE:g} s behind; still waiting")
                continue
            if lag <= ctx.config.cutover.max_lag:
                _require_unchanged(ctx)
                return

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a wait leaves nothing behind."""


def _errors(ctx: ReadContext) -> int:
    subscription = streams.find_subscription(ctx)
    return (streams.apply_errors(ctx, subscription.oid) or 0) if subscription else 0


def _require_unchanged(ctx: ReadContext) -> None:
    why = gates.tables_have_changed(ctx)
    if why:
        columns = any(gates.columns_are_equal(ctx))
        again = "migrator rollback-to schema_copied, then migrator advance"
        raise GateClosed("; ".join(why), hint=gates.CHANGED_HINT if columns else again, gates=why)


def _stuck(ctx: ReadContext, errors: int) -> TimedOut:
    why = gates.tables_have_changed(ctx) or ["the destination's server log says why"]
    return TimedOut(
        f"the stream's worker fails again and again ({errors} errors): {'; '.join(why)}",
        hint="mend what it cannot apply, then migrator advance; or migrator rollback-to schema_copied",
        errors=errors,
    )
