"""Make sure that everything which must hold right before the fence holds."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from migrator.context import FORWARD
from migrator.errors import GateClosed, MigratorError
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import drain, gates, streams
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

FRESH = 10.0
ROUND_TRIPS = 3


class PassGates(Step):
    """Make sure that everything which must hold right before the fence holds.

    Changes: one row of our heartbeat table; a stream that a killed cutover left stopped runs again, and
    a router that it left paused lets go.
    Recognised by: all gates open, and a fresh heartbeat that has arrived.
    Locks and cost: none.
    If it fails: nothing has happened to the application; the message names each closed gate.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Ask every gate."""
        if cutover_record(ctx) is not None:
            return Done({"cutover": True})
        why = _closed(ctx)
        if why:
            return Partial("; ".join(why))
        tokens = drain.proven(ctx, FRESH)
        if tokens is not None:
            return Done({"tokens": tokens})
        return Partial("the stream's lag is to be measured")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Start a stopped stream, then measure its lag."""
        if streams.disabled(ctx):
            ctx.note("the stream was stopped; it is started again")
            streams.enable(ctx)
        ctx.wait_until(
            lambda: all(s.worker is not None for s in streams.find_subscriptions(ctx) if s.ours),
            what="the stream's apply worker",
            timeout=15,
            explain=lambda: "; ".join(gates.stream_is_live(ctx)),
        )
        # A router that cannot be asked is one of the closed gates.
        with suppress(MigratorError):
            ctx.router.resume(ctx, FORWARD)
        why = _closed(ctx)
        if why:
            raise GateClosed(
                "the cutover is not safe now: " + "; ".join(why),
                hint="mend what is named, then migrator advance",
                gates=why,
            )
        limit = ctx.config.cutover.max_lag
        lags = [drain.round_trip(ctx, timeout=max(limit * 4, 20)).seconds for _ in range(ROUND_TRIPS)]
        if lags[-1] > limit:
            raise GateClosed(
                f"the stream is {lags[-1]:.1f} s behind; [cutover] max_lag is {limit:g} s",
                hint="wait until the source is quieter, then migrator advance",
                lag_seconds=lags[-1],
            )

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a gate leaves nothing behind."""


def _closed(ctx: ReadContext) -> list[str]:
    why = gates.closed(ctx)
    try:
        ctx.router.probe(ctx, FORWARD)
    except MigratorError as error:
        why.append(f"router {ctx.config.cutover.router}: {error.message}; {error.hint}")
    return why
