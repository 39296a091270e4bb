"""No server takes a slot away from the stream that reads it.

Why it matters: a slot keeps WAL for as long as the copy takes, and nobody reads from it meanwhile. A server
with max_slot_wal_keep_size (13 and newer) throws that WAL away beyond the limit, one with
idle_replication_slot_timeout (18 and newer) gives up a slot that is idle for so long. Then the copy begins
again; after the cutover the way back is lost. [copy] max_retained_wal does the same by migrator, cleanly and
with a message, and only where its limit is the lower one.
How to fix: lift the limit for the time of the migration, and watch the disk instead; or set [copy]
max_retained_wal below it.
When to ignore: the limit is far above the WAL that the source writes in the time of the copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity, directions
from migrator.config import Size
from migrator.context import FORWARD

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "replicate", "cut_over")

LIMITS = """
select current_setting('max_slot_wal_keep_size', true) as wal,
       (select setting::bigint * 1024 * 1024
        from pg_catalog.pg_settings
        where name = 'max_slot_wal_keep_size') as bytes,
       current_setting('idle_replication_slot_timeout', true) as idle
"""
SIZE = "select pg_catalog.pg_database_size(current_database())"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Read the limits of whoever publishes; a limit above the database's size is good to know only."""
    size: int = ctx.source.value(SIZE)
    for way, _severity in directions(ctx):
        side = way.source.side
        row = way.source.rows(LIMITS)[0]
        if row.bytes is not None and row.bytes >= 0:
            own = int(ctx.config.copy.max_retained_wal) if way.roles == FORWARD else 0
            yield Finding(
                Severity.WARN if row.bytes < size or own >= row.bytes else Severity.INFO,
                side,
                _limited(row, size, own),
                "alter system set max_slot_wal_keep_size = -1; -- then reload the server",
                side,
            )
        if row.idle not in (None, "0"):
            yield Finding(
                Severity.WARN,
                side,
                f"idle_replication_slot_timeout gives up a slot that nobody reads for {row.idle}, as during "
                "the copy",
                "alter system set idle_replication_slot_timeout = 0; -- then reload the server",
                side,
            )


def _limited(row: Any, size: int, own: int) -> str:
    text = f"max_slot_wal_keep_size takes the slot away when it keeps more than {row.wal} of WAL"
    if own >= row.bytes:
        return f"{text}: copy.max_retained_wal ({Size(own).text}) is never reached"
    return f"{text}; the source's database has {Size(size).text}"
