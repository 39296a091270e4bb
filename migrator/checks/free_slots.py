"""Both servers have room for our slots, their senders, the workers and their origins.

Why it matters: a server that has no slot, sender or worker left refuses late, or, for workers, says
nothing and never starts the stream. After the cutover the stream runs from the destination to the source, so
each server needs what the other one does. One slot and sender more than streams is needed for an instant
where a copy that was cut off is taken up again.
How to fix: raise the setting that is named, and restart that server.
When to ignore: what the way back needs is not needed where [cutover] reverse is "off".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.check import Finding, Group, Severity, directions
from migrator.context import FORWARD
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
# Later ours are among those that are counted.
BEFORE = ("plan",)

PUBLISHER = """
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
# Every background worker counts; a query's parallel ones come and go. The launcher of ours is not there yet
# where max_logical_replication_workers is 0.
SUBSCRIBER = """
select 'max_logical_replication_workers' as setting,
       current_setting('max_logical_replication_workers')::int as size,
       count(pid) as used
from pg_catalog.pg_stat_subscription
union all
select 'max_worker_processes',
       current_setting('max_worker_processes')::int,
       1 + count(*)
from pg_catalog.pg_stat_activity
where backend_type not in (
    'archiver', 'autovacuum launcher', 'autovacuum worker', 'background writer', 'checkpointer',
    'client backend', 'dead-end client backend', 'io worker', 'logger', 'logical replication launcher',
    'parallel worker', 'slotsync worker', 'standalone backend', 'startup', 'walreceiver', 'walsender',
    'walsummarizer', 'walwriter'
)
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


class Shortage(NamedTuple):
    """A setting that is to be raised; the one with the higher ``enough`` says more of the same."""

    enough: int
    severity: Severity
    message: str


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what is used with what there is, for each direction."""
    found: dict[tuple[str, str], list[Shortage]] = {}
    for way, severity in directions(ctx):
        for side, setting, shortage in _shortages(way, severity):
            found.setdefault((side, setting), []).append(shortage)
    for (side, setting), several in found.items():
        most = max(several)
        yield Finding(
            min((s.severity for s in several), key=list(Severity).index),
            side,
            most.message,
            f"alter system set {setting} = {most.enough}; -- then restart the server",
            side,
        )


def _shortages(way: ReadContext, severity: Severity) -> Iterator[tuple[str, str, Shortage]]:
    streams = way.config.replication.streams
    spare = 1 if way.roles == FORWARD else 0
    for session, query, more in ((way.source, PUBLISHER, spare), (way.destination, SUBSCRIBER, 0)):
        for row in session.rows(query):
            free, wanted = row.size - row.used, streams + more
            if free < wanted:
                short = Shortage(
                    row.used + wanted,
                    severity if free < streams else Severity.WARN,
                    f"{row.setting} leaves {free} free, {wanted} {'is' if wanted == 1 else 'are'} needed"
                    + (" to take up a copy that is cut off" if free >= streams else ""),
                )
                yield session.side, row.setting, short
            elif row.setting == "max_logical_replication_workers" and streams > 1:
                yield from _scarce(way, streams, free, row.used)


def _scarce(way: ReadContext, streams: int, free: int, used: int) -> Iterator[tuple[str, str, Shortage]]:
    if not all(s.has(Feature.PARALLEL_STREAM) for s in (way.source_server, way.destination_server)):
        return
    each = way.destination.value(PARALLEL)
    if free < streams * (1 + each):
        short = Shortage(
            used + streams * (1 + each),
            Severity.WARN,
            f"max_logical_replication_workers leaves {free} free; {streams} streams, with {each} more each "
            f"for large transactions, may take {streams * (1 + each)}: one that broke off could find none",
        )
        yield way.destination.side, "max_logical_replication_workers", short
