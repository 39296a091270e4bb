"""No replication slot of the source is somebody else's concern.

Why it matters: whoever reads the changes of this database from a slot (Debezium and its kin, another
subscriber) stays behind at the source: after the cutover nothing comes there any more, and the destination
has no slot for it. A slot that nobody reads keeps WAL, as ours does while the copy goes on: both together
fill the disk sooner.
How to fix: plan how each reader moves: it is to have read everything after the cutover, and begins anew on
the destination. Drop slots whose reader is gone.
When to ignore: the reader ends with the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "cut_over")

# The slot of a table that a subscription was copying when it went: pg_SUBSCRIPTION_sync_TABLE_SYSTEM.
SLOTS = """
select s.slot_name::text as name,
       s.plugin::text as plugin,
       s.active,
       coalesce(s.database = current_database(), false) as here,
       s.slot_name ~ '^pg_[0-9]+_sync_[0-9]+' as left_over,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.restart_lsn)::bigint as kept,
       (select setting::bigint * 1024 * 1024
        from pg_catalog.pg_settings
        where name = 'max_wal_size') as normal,
       pg_catalog.format('select pg_catalog.pg_drop_replication_slot(%%L);', s.slot_name) as remove
from pg_catalog.pg_replication_slots s
where pg_catalog.left(s.slot_name, pg_catalog.length(%(ours)s)) <> %(ours)s
order by s.slot_name
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List the slots that somebody has to think of."""
    for row in ctx.source.rows(SLOTS, {"ours": ctx.names.slot}):
        kept = f"and keeps {Size(row.kept or 0).text} of WAL"
        if row.left_over and not row.active:
            yield Finding(
                Severity.WARN,
                row.name,
                f"slot {row.name} is left over from a table that a subscription began to copy, {kept}",
                row.remove,
                "source",
            )
        elif not row.active and (row.kept or 0) > row.normal:
            yield Finding(
                Severity.WARN,
                row.name,
                f"nobody reads from slot {row.name}, {kept}",
                row.remove.removesuffix(";") + "; -- if its reader does not come back",
                "source",
            )
        elif row.here:
            yield Finding(
                Severity.WARN,
                row.name,
                f"slot {row.name} ({row.plugin}) of this database "
                + ("is read by another consumer" if row.active else "waits for another consumer")
                + ", which stays behind",
                "plan how its reader moves to the destination",
            )
