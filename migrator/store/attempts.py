"""The part of the journal that says what was tried."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import insert, update

from migrator import __version__
from migrator.errors import StaleState
from migrator.store.database import fetch, reading, writing
from migrator.store.models import attempt, now
from migrator.store.records import AttemptRecord
from migrator.store.store import Store

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from migrator.store.records import Kind


class AttemptJournal(Store):
    """Every run of a step: its intent, and how it ended."""

    def begin(self, migration_id: int, transition: str, step: str, kind: Literal["apply", "undo"]) -> int:
        """Record the intent to run a step; return the attempt's number."""
        with writing(self._engine) as connection:
            return put_attempt(connection, migration_id, transition, step, kind, outcome="running")

    def finish(
        self,
        attempt_id: int,
        outcome: Literal["done", "skipped"],
        found: str = "",
        evidence: dict[str, Any] | None = None,
    ) -> None:
        """Record that a step is done, or was found done, and what proves it."""
        self._end(attempt_id, outcome=outcome, found=found, evidence=evidence or {})

    def fail(self, attempt_id: int, error: dict[str, Any]) -> None:
        """Record why a step failed."""
        self._end(attempt_id, outcome="failed", error=error)

    def attempts(self, migration_id: int) -> list[AttemptRecord]:
        """Return everything that was tried, oldest first."""
        with reading(self._engine) as connection:
            return fetch(connection, AttemptRecord, attempt, attempt.c.migration_id == migration_id)

    def last_attempt(self, migration_id: int) -> AttemptRecord | None:
        """Return the newest attempt."""
        where = attempt.c.migration_id == migration_id
        with reading(self._engine) as connection:
            return next(iter(fetch(connection, AttemptRecord, attempt, where, newest=1)), None)

    def last_error(self, migration_id: int) -> AttemptRecord | None:
        """Return the newest attempt if it failed or never finished (it runs, or was killed)."""
        newest = self.last_attempt(migration_id)
        return newest if newest and newest.outcome in ("failed", "running") else None

    def _end(self, attempt_id: int, **values: Any) -> None:
        running = (attempt.c.id == attempt_id, attempt.c.outcome == "running")
        with writing(self._engine) as connection:
            statement = update(attempt).where(*running).values(finished_at=now(), **values)
            if connection.execute(statement).rowcount != 1:
                raise StaleState(f"attempt {attempt_id} is not running", hint="migrator history")


def put_attempt(
    connection: Connection, migration_id: int, transition: str, step: str, kind: Kind, **values: Any
) -> int:
    """Write one attempt of this process within the caller's transaction; return its number."""
    statement = insert(attempt).values(
        migration_id=migration_id,
        transition=transition,
        step=step,
        kind=kind,
        host=socket.gethostname(),
        pid=os.getpid(),
        version=__version__,
        **values,
    )
    number: int = connection.execute(statement.returning(attempt.c.id)).scalar_one()
    return number
