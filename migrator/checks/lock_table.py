"""Both servers can hold the locks of our largest transactions.

Why it matters: the schema is restored in one transaction, which holds a lock on everything that it makes:
each table, its TOAST table and that one's index, each sequence, view and row type. The fence locks every
table of the source in one transaction. A server has room for max_locks_per_transaction times the sessions
that it admits; beyond that it answers out of shared memory.
How to fix: raise max_locks_per_transaction, and restart that server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession

GROUP = Group.DB

# Newer minor releases lock the row type of a relation that is made, too.
NEEDED = (
    """
select count(*) filter (where c.relkind in ('r', 'p')) as tables,
       count(*) + 2 * count(nullif(c.reltoastrelid, 0)) as made,
       count(*) filter (where c.relkind <> 'S') as row_types
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p', 'f', 'v', 'm', 'c', 'S')
  and c.relpersistence <> 't'
  and """
    + USER_SCHEMA
)
# What the documentation promises (19.12), and what PostgreSQL reckons with (NLOCKENTS in lock.c).
ROOM = """
select current_setting('max_locks_per_transaction')::bigint as each,
       current_setting('max_connections')::bigint
       + current_setting('max_prepared_transactions')::bigint as sessions,
       current_setting('max_worker_processes')::bigint
       + current_setting('max_wal_senders')::bigint
       + coalesce(
             current_setting('autovacuum_worker_slots', true), current_setting('autovacuum_max_workers')
         )::bigint as others
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Count what there is to lock, and the room for it."""
    needed = ctx.source.rows(NEEDED)[0]
    yield from _compare(ctx.source, needed.tables, needed.tables, "the fence locks every table")
    most = needed.made + needed.row_types
    yield from _compare(ctx.destination, needed.made, most, "the schema is restored in one transaction")


def _compare(session: ReadSession, least: int, most: int, why: str) -> Iterator[Finding]:
    room = session.rows(ROOM)[0]
    if most <= room.each * room.sessions:
        return
    enough = -(-most // room.sessions)
    yield Finding(
        Severity.BLOCK if least > room.each * (room.sessions + room.others) else Severity.WARN,
        session.side,
        f"{why}, which takes {least} locks or more; max_locks_per_transaction = {room.each} leaves room for "
        f"{room.each * room.sessions}",
        f"alter system set max_locks_per_transaction = {enough}; -- then restart the server",
        session.side,
    )
