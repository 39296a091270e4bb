"""Make ready for a switchover: streams that run, open gates, a small lag, a router that works."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import GateClosed, MigratorError
from migrator.pg.catalog import unanalyzed_tables
from migrator.switchover import drain, gates, streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.switchover.drain import Tokens

ANALYZE = "analyze {table}"
FRESH = 10.0
ROUND_TRIPS = 3
# Inside the fence nothing more is written, so that it takes hardly longer than the slowest round trip now.
DRAIN = 1.5


def closed(ctx: ReadContext) -> list[str]:
    """Return why the switchover would not be safe or possible now; an empty list when it would."""
    why = gates.closed(ctx)
    options = ctx.config.cutover
    for what, probe in (
        (f"fence {options.fence}", partial(ctx.fence.probe, ctx)),
        (f"router {options.router}", partial(ctx.router.probe, ctx, ctx.roles)),
    ):
        try:
            probe()
        except MigratorError as error:
            why.append(f"{what}: {error.message}; {error.hint}")
    return why


def proven(ctx: ReadContext) -> Tokens | None:
    """Return the tokens that have just arrived, or None when the lag is to be measured."""
    return drain.proven(ctx, FRESH)


def take_up(ctx: WriteContext) -> None:
    """Start what a hand-over that was cut short has left: stopped streams, a paused router."""
    streams.start_stopped(ctx)
    # A router that cannot be asked is one of the closed gates.
    with suppress(MigratorError):
        ctx.router.resume(ctx, ctx.roles)


def make_ready(ctx: WriteContext, *, then: str) -> None:
    """Start stopped streams and a paused router, ask every gate, and measure the lag.

    ``then`` is the command to type when a gate is closed. Raises GateClosed naming each one.
    """
    take_up(ctx)
    streams.revive(ctx)
    for table in unanalyzed_tables(ctx.destination):
        ctx.write_destination.run(sql.SQL(ANALYZE).format(table=table.identifier))
    why = closed(ctx)
    if why:
        raise GateClosed(
            "the switchover is not safe now: " + "; ".join(why),
            hint=f"mend what is named, then {then}",
            gates=why,
        )
    limit = ctx.config.cutover.max_lag
    lags = [drain.round_trip(ctx, timeout=max(limit * 4, 20)).seconds for _ in range(ROUND_TRIPS)]
    if lags[-1] > limit:
        raise GateClosed(
            f"the stream is {lags[-1]:.1f} s behind; [cutover] max_lag is {limit:g} s",
            hint=f"wait until the {ctx.source.side} is quieter, then {then}",
            lag_seconds=lags[-1],
        )
    budget = ctx.config.cutover.max_pause
    drain_estimate = max(lags) * DRAIN
    if drain_estimate > budget:
        raise GateClosed(
            f"draining the stream would take about {drain_estimate:.1f} s, and [cutover] max_pause is "
            f"{budget:g} s",
            hint=f"wait until the {ctx.source.side} is quieter, then {then}",
            lag_seconds=lags[-1],
        )
    ctx.note(f"draining the stream will take about {drain_estimate * 1000:.0f} ms of {budget:g} s")
