"""There is room for our slots, their walsenders and the destination's workers.

Why it matters: a server that has no slot, sender or worker left refuses late, or, for workers, says
nothing and never starts the stream.
How to fix: raise the setting that is named, and restart that server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL

ROOM = """
select 'max_replication_slots' as setting,
       current_setting('max_replication_slots')::int as size,
       count(*) as used
from pg_catalog.pg_replication_slots
union all
select 'max_wal_senders',
       current_setting('max_wal_senders')::int,
       count(*)
from pg_catalog.pg_stat_replication
"""
WORKERS = """
select 'max_logical_replication_workers' as setting,
       current_setting('max_logical_replication_workers')::int as size,
       count(pid) as used
from pg_catalog.pg_stat_subscription
union all
select l.name,
       l.setting::int,
       (select count(*) from pg_catalog.pg_replication_origin)
from pg_catalog.pg_settings l
where l.name = (
    -- Since 18 origins have a limit of their own.
    select min(name)
    from pg_catalog.pg_settings
    where name in ('max_active_replication_origins', 'max_replication_slots')
)
"""
# How many further workers each stream may take for the large transactions that it applies meanwhile.
PARALLEL = "select current_setting('max_parallel_apply_workers_per_subscription')::int"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what is used with what there is; before ``plan`` only, since later ours are among them."""
    # Of each stream the slot and its reader; the apply worker and its origin.
    wanted = ctx.config.replication.streams
    for session, query in ((ctx.source, ROOM), (ctx.destination, WORKERS)):
        for row in session.rows(query):
            free = row.size - row.used
            if free < wanted:
                yield Finding(
                    Severity.BLOCK,
                    session.side,
                    f"{row.setting} leaves {free} free, {wanted} {'is' if wanted == 1 else 'are'} needed",
                    f"alter system set {row.setting} = {row.used + wanted}; -- then restart the server",
                    session.side,
                )
            elif row.setting == "max_logical_replication_workers" and wanted > 1:
                yield from _scarce(ctx, wanted, free, row.used)


def _scarce(ctx: ReadContext, streams: int, free: int, used: int) -> Iterator[Finding]:
    if not all(s.has(Feature.PARALLEL_STREAM) for s in (ctx.source_server, ctx.destination_server)):
        return
    each = ctx.destination.value(PARALLEL)
    if free < streams * (1 + each):
        yield Finding(
            Severity.WARN,
            "destination",
            f"max_logical_replication_workers leaves {free} free; {streams} streams, with {each} more each "
            f"for large transactions, may take {streams * (1 + each)}: one that broke off could find none",
            f"alter system set max_logical_replication_workers = {used + streams * (1 + each)}; "
            "-- then restart the server",
            "destination",
        )
