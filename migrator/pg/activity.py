"""Who else is on a server: blockers to name, orphans of a killed run to end, the operator's lock."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from migrator.errors import LeaseHeld, TimedOut
from migrator.pg.redact import redact

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

TRY_LOCK = "select pg_catalog.pg_try_advisory_lock(%s)"
# Seconds in which the lock of a command that has just ended, or was just killed, is surely released:
# its server process notices a little later than its owner is gone.
GRACE = 2.0

LOCK_HOLDER = """
select a.pid, a.backend_start, a.client_addr::text as client, a.usename as role
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.locktype = 'advisory'
  and l.granted
  and l.objsubid = 1
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and (l.classid::bigint << 32) | l.objid::bigint = %s
"""

ORPHANS = """
select a.pid, pg_catalog.pg_terminate_backend(a.pid)
from pg_catalog.pg_stat_activity a
where a.application_name = %s
  and a.datname = current_database()
  and a.pid <> all (%s)
"""

OURS = """
select pg_catalog.pg_terminate_backend(a.pid)
from pg_catalog.pg_stat_activity a
where a.pid = %s
  and a.application_name = %s
  and a.datname = current_database()
"""

HOLDERS = """
select distinct a.pid, a.usename as role, a.application_name as application, a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::int as age,
       left(a.query, 100) as query
from pg_catalog.pg_locks l
join pg_catalog.pg_stat_activity a on a.pid = l.pid
where l.granted
  and l.locktype = 'relation'
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and l.relation = any (%s)
  and (%s or l.mode not in ('AccessShareLock', 'RowShareLock'))
  and a.application_name <> %s
  and (%s = 0 or a.xact_start < clock_timestamp() - %s * interval '1 second')
order by age desc nulls last
limit 3
"""

END_HOLDERS = """
select a.pid, pg_catalog.pg_terminate_backend(a.pid)
from pg_catalog.pg_stat_activity a
where a.backend_type = 'client backend'
  and a.application_name <> %s
  and a.xact_start < clock_timestamp() - %s * interval '1 second'
  and exists (
      select
      from pg_catalog.pg_locks l
      where l.pid = a.pid
        and l.granted
        and l.locktype = 'relation'
        and l.database = a.datid
        and l.relation = any (%s)
        and l.mode not in ('AccessShareLock', 'RowShareLock')
  )
  and a.datname = current_database()
"""

OLDEST_WRITERS = """
select pid, usename as role, application_name as application, state,
       extract(epoch from clock_timestamp() - xact_start)::int as age,
       left(query, 100) as query
from pg_catalog.pg_stat_activity
where backend_xid is not null
  and pid <> pg_catalog.pg_backend_pid()
order by xact_start
limit 3
"""

SESSIONS = """
select pid, usename as role, application_name as application, state,
       extract(epoch from clock_timestamp() - xact_start)::int as age,
       left(query, 100) as query
from pg_catalog.pg_stat_activity
where pid = any (%s)
order by xact_start
limit 3
"""


def hold_lock(session: ReadSession, names: Names) -> None:
    """Take the migration's advisory lock for the life of the session.

    It vanishes with its owner (documentation 13.3.5), so a killed run leaves none. Raises LeaseHeld
    saying which backend has it, from where, since when.
    """
    deadline = time.monotonic() + GRACE
    while not session.value(TRY_LOCK, [names.lock_key]):
        if time.monotonic() > deadline:
            break
        time.sleep(0.05)
    else:
        return
    holder = session.row(LOCK_HOLDER, [names.lock_key])
    who = (
        f"backend {holder.pid} of role {holder.role} from {holder.client or 'a local socket'}, "
        f"since {holder.backend_start:%Y-%m-%d %H:%M:%S %Z}"
        if holder
        else "another session"
    )
    raise LeaseHeld(
        f"another operator is working on this migration: {who}, on the {session.side}",
        hint="wait for it to end, or end it; then run the same command again",
        side=session.side,
    )


def end_orphans(session: WriteSession, names: Names, ours: list[int], timeout: float = 30) -> int:
    """End sessions that a killed run left behind and wait until they are gone.

    Only call it under the migration's lock: then any other session with our application name has no
    owner. ``timeout`` is seconds. Raises TimedOut naming those that stay.
    """
    deadline = time.monotonic() + timeout
    ended: set[int] = set()
    while remaining := [row.pid for row in session.rows(ORPHANS, [names.application, ours])]:
        ended.update(remaining)
        if time.monotonic() > deadline:
            raise TimedOut(
                f"sessions that a killed run left on the {session.side} do not end: "
                f"pids {', '.join(map(str, remaining))}",
                hint="look at them in pg_stat_activity, then run the same command again",
            )
        time.sleep(0.05)
    return len(ended)


def end_session(session: WriteSession, names: Names, pid: int, timeout: float = 30) -> None:
    """End a session of ours whose connection broke, and wait until the server has seen it.

    ``timeout`` is seconds. Raises TimedOut.
    """
    deadline = time.monotonic() + timeout
    while session.rows(OURS, [pid, names.application]):
        if time.monotonic() > deadline:
            raise TimedOut(
                f"a session whose connection broke does not end on the {session.side}: pid {pid}",
                hint="look at it in pg_stat_activity, then run the same command again",
            )
        time.sleep(0.05)


def name_writers(session: ReadSession) -> str:
    """Return the oldest open writing transactions of the cluster."""
    return describe(session.rows(OLDEST_WRITERS))


def name_holders(
    session: ReadSession,
    names: Names,
    relations: list[int],
    *,
    readers: bool = False,
    older_than: float = 0,
) -> str:
    """Return who has locks that writers take on any of the tables, or with ``readers`` any lock.

    Only those whose transaction is ``older_than`` so many seconds.
    """
    rows = session.rows(HOLDERS, [relations, readers, names.application, older_than, older_than])
    return describe(rows)


def end_holders(session: WriteSession, names: Names, relations: list[int], *, older_than: float) -> list[int]:
    """End the sessions that hold such a lock in a transaction of that many seconds; return their pids."""
    return [row.pid for row in session.rows(END_HOLDERS, [names.application, older_than, relations])]


def name_sessions(session: ReadSession, pids: list[int]) -> str:
    """Return what those of the server's processes do that are there, the oldest transactions first."""
    return describe(session.rows(SESSIONS, [pids]))


def describe(rows: Iterable[Any]) -> str:
    """Return rows of pid, role, application, state, age and query as one text."""
    return "; ".join(
        f"pid {r.pid} (role {r.role}, application {r.application or '-'}, {r.state}, "
        f"{r.age or 0} s old): {redact(' '.join((r.query or '').split()))}"
        for r in rows
    )
