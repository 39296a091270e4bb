"""Where the publisher's WAL is, and until when all that the stream may have carried can be seen there.

The position is that of a message which is committed to say it: behind all commits that can be seen, and on
disk, so that a stream gets there at once. (The end of the WAL may be in memory for a quarter of a minute,
where nobody commits.) No row is written, and no standby is waited for.

A commit is streamed a moment before it can be seen on the publisher itself; where it waits for a synchronous
standby, for as long as that takes. A transaction holds the lock of its own number until it can be seen. (A
snapshot is not enough: to it the newest transactions are yet to come.)
"""

from __future__ import annotations

from concurrent.futures import CancelledError
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from migrator.pg.session import ReadSession

MESSAGE = """
select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_logical_emit_message(true, 'migrator', ''), '0/0')::bigint
"""
# Who may not look at others' sessions cannot tell what they wait for.
RUNNING = """
select l.transactionid::text as number,
       coalesce(a.wait_event = 'SyncRep', false) or a.query = '<insufficient privilege>' as waits
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'transactionid'
  and l.mode = 'ExclusiveLock'
  and a.datname = current_database()
"""
# Seconds that transactions get to end, and between two questions whether they have.
PATIENCE, INTERVAL = 2.0, 0.02


def position(publisher: ReadSession) -> int:
    """Return a position, in bytes, behind everything that is committed so far."""
    publisher.execute("set synchronous_commit = local")
    try:
        return int(publisher.value(MESSAGE))
    finally:
        if publisher.is_open:
            publisher.execute("set synchronous_commit = on")


def await_older(publisher: ReadSession, halted: Event, now: Callable[[], float]) -> bool:
    """Wait for the transactions that run now, but not for long ones; say whether none may be committed."""
    deadline = now() + PATIENCE
    older = {row.number for row in publisher.rows(RUNNING)}
    while older:
        running = {row.number: row.waits for row in publisher.rows(RUNNING) if row.number in older}
        if now() > deadline:
            return not any(running.values())
        older &= running.keys()
        if older and halted.wait(INTERVAL):
            raise CancelledError
    return True
