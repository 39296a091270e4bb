"""End the sessions that still sit on the source from before the cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import StepFailed
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import gates, unstreamed
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "source_closed"

# Older than the moment at which the read-only default was surely there. Walsenders stay.
OLD_SESSIONS = """
select a.pid
from pg_catalog.pg_stat_activity a
where a.datname = current_database()
  and a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.backend_start < (select at from {schema}.journal where event = 'source_closed')
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
        if Registry(ctx.source, ctx.names).read(EVENT) is None:
            return Partial("the sessions were not looked at yet")
        old = self._old(ctx)
        return Partial(f"{len(old)} sessions are older than the cutover") if old else Done()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """End them, wait until they are gone, and make sure that none has left a new table behind."""
        registry = WritableRegistry(ctx.write_source, ctx.names)
        if registry.read(EVENT) is None:
            registry.record(EVENT, {})

        def ended() -> bool:
            old = self._old(ctx)
            if old:
                ctx.write_source.rows(END, [old])
            return not old

        ctx.wait_until(ended, what="sessions of the source to end", timeout=30)
        for why in unstreamed.written_late(ctx, cutover_record(ctx) or {}):
            raise StepFailed(
                f"{why}; the application goes on at the destination, without these changes",
                hint="copy them by hand, unlink them on the source (set default_transaction_read_only = "
                "off), then migrator advance",
            )
        for why in gates.no_table_is_left_out(ctx):
            raise StepFailed(
                f"{why}; the application goes on at the destination, without these tables",
                hint="copy them by hand, drop them on the source (set default_transaction_read_only = off), "
                "then migrator advance",
            )

    def _old(self, ctx: ReadContext) -> list[int]:
        rows = Registry(ctx.source, ctx.names).rows(OLD_SESSIONS, [ctx.names.application])
        return [row.pid for row in rows]
