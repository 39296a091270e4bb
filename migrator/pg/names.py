"""The names of everything migrator makes on a server, and the mark that says it is ours.

Names are derived from the migration's name and both databases' names, so that every run and every
host arrives at the same ones, whatever characters those hold: at most 63 bytes, and legal for a
replication slot (``[a-z0-9_]``, PostgreSQL documentation 26.2.6 and 49.2).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from migrator.config import MAX_STREAMS


@dataclass(frozen=True)
class Stream:
    """One stream of changes: the names of what it is made of, and its number among its migration's."""

    number: int
    publication: str
    subscription: str
    slot: str
    heartbeat: str
    """The part of the heartbeat table that this stream alone carries."""

    def event(self, name: str) -> str:
        """Return the journal's word for what happened to this stream; the first has no number in it."""
        return f"{name}{_suffix(self.number)}"

    def __str__(self) -> str:
        return f"stream {self.number} ({self.subscription})"


def _suffix(number: int) -> str:
    return "" if number == 1 else f"_{number}"


@dataclass(frozen=True)
class Names:
    """The names of one migration's objects."""

    migration: str
    key: str

    @classmethod
    def of(cls, migration: str, source_database: str, destination_database: str) -> Names:
        """Derive the names for a migration between two databases."""
        digest = hashlib.sha256(
            "\x00".join((migration, source_database, destination_database)).encode()
        ).hexdigest()[:10]
        slug = re.sub(r"[^a-z0-9]+", "_", migration.lower()).strip("_")[:30].strip("_")
        return cls(migration, f"{slug}_{digest}" if slug else digest)

    @property
    def schema(self) -> str:
        """Return the schema that holds our tables on both servers."""
        return f"migrator_{self.key}"

    def stream(self, number: int) -> Stream:
        """Return the names of one stream, from 1 on."""
        suffix = _suffix(number)
        return Stream(
            number,
            publication=self.publication + suffix,
            subscription=self.subscription + suffix,
            slot=self.slot + suffix,
            heartbeat=f"heartbeat_{number}",
        )

    @property
    def streams(self) -> tuple[Stream, ...]:
        """Return all streams that there may be; which there are, the servers know."""
        return tuple(self.stream(number) for number in range(1, MAX_STREAMS + 1))

    @property
    def publication(self) -> str:
        """Return the first stream's publication on the source."""
        return f"migrator_{self.key}"

    @property
    def subscription(self) -> str:
        """Return the first stream's subscription on the destination."""
        return f"migrator_{self.key}"

    @property
    def slot(self) -> str:
        """Return the first stream's replication slot on the source."""
        return f"migrator_{self.key}"

    def temporary_slot(self, pid: int) -> str:
        """Return the slot that gives a later snapshot and goes with its session, the backend ``pid``."""
        return f"migrator_{self.key}_pid{pid}"

    @property
    def fence(self) -> str:
        """Return the fence trigger on every table."""
        return f"migrator_fence_{self.key}"

    @property
    def application(self) -> str:
        """Return the ``application_name`` of all our sessions.

        Not the subscription's name, which its walsender carries: orphans of a killed run are found
        by this one and ended, the stream is not.
        """
        return f"migrator/{self.key}"

    @property
    def observer(self) -> str:
        """Return the ``application_name`` of sessions that only look (``status``, ``progress``)."""
        return f"migrator-status/{self.key}"

    @property
    def mark(self) -> str:
        """Return the comment that marks an object as ours."""
        return f"migrator:{self.key}"

    @property
    def lock_key(self) -> int:
        """Return the key of the advisory lock that keeps two operators apart (signed 64 bits)."""
        digest = hashlib.sha256(b"migrator lock " + self.key.encode()).digest()
        return int.from_bytes(digest[:8], "big", signed=True)
