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
# That none is left from before it; one that began earlier and comes later has read the new default.
ENDED = "sessions_ended"
# Walsenders and apply workers stay.
OLD_SESSIONS = """
select a.pid
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.backend_start < %s
"""
# A session that starts holds its database from before it reads its settings until it can be seen in
# pg_stat_activity. The backend's own transaction number tells it from the next one.
STARTING = """
select l.virtualtransaction as session
from pg_catalog.pg_locks l
join pg_catalog.pg_database d on d.oid = l.objid
where l.locktype = 'object'
  and l.classid = 'pg_catalog.pg_database'::regclass
  and l.mode = 'RowExclusiveLock'
  and d.datname = current_database()
"""
END = "select pg_catalog.pg_terminate_backend(pid) from unnest(%s::int[]) as p (pid)"


def are_ended(ctx: ReadContext) -> bool:
    """Return whether it is recorded of this switchover that no session is left from before it."""
    return _is_recorded(ctx, ENDED)


def end_old(ctx: WriteContext) -> None:
    """End them, so that they come back under the read-only default or on the other side; record it."""
    registry = WritableRegistry(ctx.write_source, ctx.names)
    number = {"number": (handed_over(ctx) or {})["number"]}
    if not _is_recorded(ctx, CLOSED):
        registry.record(CLOSED, number)
    end_older(ctx, registry.rows(CLOSED_AT)[0].at, timeout=30)
    registry.record(ENDED, number)


def end_older(ctx: WriteContext, moment: datetime, *, timeout: float, interval: float = 0.05) -> None:
    """End the client sessions that are older than ``moment``, by the source's clock; not ours.

    Those that were still starting, and may have read the settings from before, are waited for and ended.
    Raises TimedOut after ``timeout`` seconds, naming who is left.
    """
    starting = _starting(ctx)

    def ended() -> bool:
        # In this order: who is not starting any more is seen as a session by now.
        starting.intersection_update(_starting(ctx))
        pids = _older(ctx, moment)
        if pids:
            ctx.write_source.rows(END, [pids])
        return not pids and not starting

    ctx.wait_until(
        ended,
        what=f"sessions of the {ctx.source.side} to end",
        timeout=timeout,
        interval=interval,
        explain=lambda: name_sessions(ctx.source, _older(ctx, moment)) or f"{len(starting)} are starting",
    )


def _is_recorded(ctx: ReadContext, event: str) -> bool:
    given, record = handed_over(ctx), Registry(ctx.source, ctx.names).read(event)
    return bool(given and record and record["number"] == given["number"])


def _starting(ctx: ReadContext) -> set[str]:
    return {row.session for row in ctx.source.rows(STARTING)}


def _older(ctx: ReadContext, moment: datetime) -> list[int]:
    return [row.pid for row in ctx.source.rows(OLD_SESSIONS, [ctx.names.application, moment])]
