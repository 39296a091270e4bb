"""The sessions that sit on the source from before a moment: that at which it gave its writes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.activity import name_sessions
from migrator.pg.registry import Registry, WritableRegistry
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from datetime import datetime

    from migrator.context import ReadContext, WriteContext

# The moment at which the read-only default was surely there.
CLOSED = "closed"
CLOSED_AT = "select at from {schema}.journal where event = 'closed'"
# Walsenders and apply workers stay.
OLD_SESSIONS = """
select a.pid
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.backend_start < %s
"""
# Of a session that is still coming nobody can tell which settings it has read, nor of which database it is.
COMING = """
select count(*)
from pg_catalog.pg_stat_activity a
where a.datname is null
  and a.backend_type = 'client backend'
  and a.backend_start < %s
"""
PATIENCE = 5.0
END = "select pg_catalog.pg_terminate_backend(pid) from unnest(%s::int[]) as p (pid)"


def looked_at(ctx: ReadContext) -> bool:
    """Return whether the moment is recorded for this switchover."""
    given, record = handed_over(ctx), Registry(ctx.source, ctx.names).read(CLOSED)
    return bool(given and record and record["number"] == given["number"])


def old(ctx: ReadContext) -> list[int]:
    """Return the client sessions, by pid, that are older than that moment; not ours."""
    found = Registry(ctx.source, ctx.names).rows(CLOSED_AT)
    return _older(ctx, found[0].at) if found else []


def end_old(ctx: WriteContext) -> None:
    """End them, so that they come back under the read-only default or on the other side."""
    registry = WritableRegistry(ctx.write_source, ctx.names)
    if not looked_at(ctx):
        given = handed_over(ctx) or {}
        registry.record(CLOSED, {"number": given["number"]})
    end_older(ctx, registry.rows(CLOSED_AT)[0].at, timeout=30, patience=PATIENCE)


def end_older(
    ctx: WriteContext, moment: datetime, *, timeout: float, patience: float, interval: float = 0.05
) -> None:
    """End the client sessions that are older than ``moment``, by the source's clock; not ours.

    Those that are still coming are waited for ``patience`` seconds. Raises TimedOut after ``timeout``
    seconds, naming who is left.
    """
    began = ctx.now()

    def ended() -> bool:
        pids = _older(ctx, moment)
        if pids:
            ctx.write_source.rows(END, [pids])
        return not pids and (ctx.now() - began > patience or not ctx.source.value(COMING, [moment]))

    ctx.wait_until(
        ended,
        what=f"sessions of the {ctx.source.side} to end",
        timeout=timeout,
        interval=interval,
        explain=lambda: name_sessions(ctx.source, _older(ctx, moment)),
    )


def _older(ctx: ReadContext, moment: datetime) -> list[int]:
    return [row.pid for row in ctx.source.rows(OLD_SESSIONS, [ctx.names.application, moment])]
