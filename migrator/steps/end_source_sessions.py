"""End the sessions that still sit on the source from before the cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Registry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

# Older than the cutover: they have not taken over the read-only default. Walsenders stay.
OLD_SESSIONS = """
select a.pid
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.backend_start < (select at from {schema}.journal where event = 'cutover')
"""
END = "select pg_catalog.pg_terminate_backend(pid) from unnest(%s::int[]) as p (pid)"


class EndSourceSessions(Step):
    """End the sessions that still sit on the source from before the cutover.

    Changes: terminates client sessions of the source's database that began before the cutover, so
    that they come back under its read-only default, or on the destination. Not ours, no walsender.
    Recognised by: no such session is left.
    Locks and cost: the application reconnects.
    If it fails: the fence holds all the same; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Count such sessions."""
        if cutover_record(ctx) is None:
            return Absent()
        old = self._old(ctx)
        return Partial(f"{len(old)} sessions are older than the cutover") if old else Done()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """End them, and wait until they are gone."""

        def ended() -> bool:
            old = self._old(ctx)
            if old:
                ctx.write_source.rows(END, [old])
            return not old

        ctx.wait_until(ended, what="sessions of the source to end", timeout=30)

    def _old(self, ctx: ReadContext) -> list[int]:
        rows = Registry(ctx.source, ctx.names).rows(OLD_SESSIONS, [ctx.names.application])
        return [row.pid for row in rows]
