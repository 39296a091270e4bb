"""The sessions that sit on the source from before it gave its writes away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Registry, WritableRegistry
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

# The moment at which the read-only default was surely there.
CLOSED = "closed"
# Walsenders and apply workers stay.
OLD_SESSIONS = """
select a.pid
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.backend_start < (select at from {schema}.journal where event = 'closed')
"""
# Of a session that is still coming nobody can tell which settings it has read, nor of which database it is.
COMING = """
select count(*)
from pg_catalog.pg_stat_activity a
where a.datname is null
  and a.backend_type = 'client backend'
  and a.backend_start < (select at from {schema}.journal where event = 'closed')
"""
PATIENCE = 5.0
END = "select pg_catalog.pg_terminate_backend(pid) from unnest(%s::int[]) as p (pid)"


def looked_at(ctx: ReadContext) -> bool:
    """Return whether the moment is recorded for this switchover."""
    given, record = handed_over(ctx), Registry(ctx.source, ctx.names).read(CLOSED)
    return bool(given and record and record["number"] == given["number"])


def old(ctx: ReadContext) -> list[int]:
    """Return the client sessions, by pid, that are older than that moment; not ours."""
    rows = Registry(ctx.source, ctx.names).rows(OLD_SESSIONS, [ctx.names.application])
    return [row.pid for row in rows]


def _coming(ctx: ReadContext) -> int:
    return int(Registry(ctx.source, ctx.names).rows(COMING)[0].count)


def end_old(ctx: WriteContext) -> None:
    """End them, so that they come back under the read-only default or on the other side."""
    if not looked_at(ctx):
        given = handed_over(ctx) or {}
        WritableRegistry(ctx.write_source, ctx.names).record(CLOSED, {"number": given["number"]})

    began = ctx.now()

    def ended() -> bool:
        pids = old(ctx)
        if pids:
            ctx.write_source.rows(END, [pids])
        return not pids and (ctx.now() - began > PATIENCE or not _coming(ctx))

    ctx.wait_until(ended, what=f"sessions of the {ctx.source.side} to end", timeout=30)
