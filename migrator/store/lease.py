"""Say who works on a migration; the servers' advisory locks are what keeps others out.

The row tells the second operator whom to ask. Whoever holds the advisory locks on both servers
knows that any other holder is gone, and takes the row over.
"""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Engine, delete, update

from migrator.errors import LeaseHeld
from migrator.store.database import fetch, reading, upsert, writing
from migrator.store.models import lease, now

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime


@dataclass(frozen=True)
class Holder:
    """One command at work. ``process_start`` tells a process from a later one of equal number."""

    host: str
    pid: int
    operator: str
    command: str
    since: datetime = field(default_factory=now)
    token: str = field(default_factory=lambda: secrets.token_hex(16))
    process_start: str = ""

    @classmethod
    def here(cls, command: str, operator: str = "") -> Holder:
        """Return this process as a holder; the operator is by default the user it runs as."""
        pid = os.getpid()
        return cls(socket.gethostname(), pid, operator or this_user(), command, process_start=_start_of(pid))


class Lease:
    """The lease rows of a store, one per migration at most."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, migration_id: int, holder: Holder, *, dead: Callable[[Holder], bool]) -> Holder:
        """Become the holder, or stay it.

        ``dead`` judges another holder that is in the way: when it is gone its row is replaced,
        otherwise LeaseHeld says who it is. Of two that replace the same row, one wins.
        """
        while not self._insert(migration_id, holder):
            other = self.holder(migration_id)
            if other is None:
                continue
            if other.token == holder.token:
                break
            if not dead(other):
                raise _held(other)
            if self._replace(migration_id, other, holder):
                break
        return holder

    def release(self, token: str) -> None:
        """Give the lease back; nothing happens when it is no longer held."""
        with writing(self._engine) as connection:
            connection.execute(delete(lease).where(lease.c.token == token))

    def beat(self, token: str) -> bool:
        """Show a sign of life; return False when somebody else has taken the lease over."""
        with writing(self._engine) as connection:
            statement = update(lease).where(lease.c.token == token).values(heartbeat=now())
            return connection.execute(statement).rowcount == 1

    def holder(self, migration_id: int) -> Holder | None:
        """Return who works on a migration now."""
        with reading(self._engine) as connection:
            rows = fetch(connection, Holder, lease, lease.c.migration_id == migration_id)
        return rows[0] if rows else None

    def _insert(self, migration_id: int, holder: Holder) -> bool:
        with writing(self._engine) as connection:
            statement = upsert(connection, lease).values(migration_id=migration_id, **asdict(holder))
            return connection.execute(statement.on_conflict_do_nothing()).rowcount == 1

    def _replace(self, migration_id: int, other: Holder, holder: Holder) -> bool:
        with writing(self._engine) as connection:
            statement = (
                update(lease)
                .where(lease.c.migration_id == migration_id, lease.c.token == other.token)
                .values(**asdict(holder), heartbeat=now())
            )
            return connection.execute(statement).rowcount == 1


def process_is_gone(holder: Holder) -> bool:
    """Return True when the holder's process surely ended; on another host nobody can know."""
    if holder.host != socket.gethostname():
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass  # it lives, and belongs to another user
    start = _start_of(holder.pid)
    return bool(start and holder.process_start) and start != holder.process_start


def _start_of(pid: int) -> str:
    """Return what is unique to a process: the boot and its start tick; empty where unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    after_name = stat.rpartition(")")[2].split()  # the name may hold spaces and parentheses
    return f"{boot}:{after_name[19]}"


def this_user() -> str:
    """Return the name of the user that this process runs as."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def _held(other: Holder) -> LeaseHeld:
    who = f"{other.operator}@{other.host}"
    return LeaseHeld(
        f"{who} (pid {other.pid}) is working on this migration: {other.command}, "
        f"since {other.since:%Y-%m-%d %H:%M:%S} UTC",
        hint=f"wait until it has ended, or ask {who}",
        operator=other.operator,
        host=other.host,
        pid=other.pid,
        command=other.command,
        since=other.since.isoformat(),
    )
