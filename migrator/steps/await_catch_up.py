"""Wait until the stream has caught up with the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.protection import guard, sample_source
from migrator.copy.snapshot import drop_slots
from migrator.errors import GateClosed, SourceProtected, TimedOut
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
COPY_AGAIN = "migrator rollback-to schema_copied, then migrator advance"


class AwaitCatchUp(Step):
    """Wait until the stream has caught up with the source.

    Changes: one row of our heartbeat table, on the source.
    Recognised by: the destination shows the source's newest heartbeat, and that one is fresh.
    Locks and cost: none.
    If it fails: tables were changed in a way that the stream does not carry, which are named; or the
    stream is not live, or its worker fails again and again (the destination's server log
    says why), or it is slower than the source; ``migrator status`` shows its lag. When it keeps more WAL
    on the source than ``[copy] max_retained_wal``, its slot is given up, and the copy begins again.
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
        if tokens is None:
            return Partial("the stream is enabled")
        why = gates.tables_have_changed(ctx)
        return Partial("; ".join(why)) if why else Done({"tokens": tokens})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Send heartbeats until one arrives within ``[cutover] max_lag``.

        Raises GateClosed when tables were changed in a way that the stream does not carry.
        """
        _require_unchanged(ctx)
        if streams.disabled(ctx):
            streams.enable(ctx)
        deadline = ctx.now() + ctx.config.replication.catch_up_timeout
        failings, errors = 0, _errors(ctx)
        while True:
            left = deadline - ctx.now()
            _protect_source(ctx)
            try:
                lag = drain.round_trip(ctx, timeout=min(PATIENCE, max(left, 1)), interval=0.02).seconds
            except TimedOut as error:
                if left <= 0 or streams.disabled(ctx) or not streams.find_subscriptions(ctx):
                    raise
                seen, errors = errors, _errors(ctx)
                failings = failings + 1 if errors > seen else 0
                if failings >= FAILINGS:
                    raise _stuck(ctx, errors) from None
                late = ", ".join(error.fields.get("streams", ["the stream"]))
                ctx.note(f"more than {PATIENCE:g} s behind: {late}; still waiting")
                continue
            if lag <= ctx.config.cutover.max_lag:
                _require_unchanged(ctx)
                return

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a wait leaves nothing behind."""


def _protect_source(ctx: WriteContext) -> None:
    sample = sample_source(ctx)
    ctx.emit(sample)
    try:
        guard(ctx, sample)
    except SourceProtected as error:
        streams.disable(ctx)
        drop_slots(ctx)
        error.hint = f"raise copy.max_retained_wal, then {COPY_AGAIN}"
        raise


def _errors(ctx: ReadContext) -> int:
    return sum(streams.apply_errors(ctx, s.oid) or 0 for s in streams.find_subscriptions(ctx))


def _require_unchanged(ctx: ReadContext) -> None:
    why = gates.tables_have_changed(ctx)
    if why:
        columns = any(gates.columns_are_equal(ctx))
        raise GateClosed("; ".join(why), hint=gates.CHANGED_HINT if columns else COPY_AGAIN, gates=why)


def _stuck(ctx: ReadContext, errors: int) -> TimedOut:
    why = gates.tables_have_changed(ctx) or ["the destination's server log says why"]
    return TimedOut(
        f"the stream's worker fails again and again ({errors} errors): {'; '.join(why)}",
        hint="mend what it cannot apply, then migrator advance; or migrator rollback-to schema_copied",
        errors=errors,
    )
