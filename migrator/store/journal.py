"""The journal: what a migration is, where it stands, and everything that was tried.

The servers are the truth about what is there; this is the history, and the place where the state
is moved. Every method is one transaction, committed when it returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from migrator.errors import MigrationExists, StaleState, UnknownMigration
from migrator.store.attempts import AttemptJournal, put_attempt
from migrator.store.comparisons import ComparisonJournal
from migrator.store.database import reading, shown, writing
from migrator.store.findings import FindingJournal, put_findings
from migrator.store.lease import Lease
from migrator.store.models import lease, migration, now
from migrator.store.progress import ProgressJournal
from migrator.store.records import (
    AttemptRecord,
    MigrationRecord,
    Pin,
    SampleRecord,
    TableRecord,
)
from migrator.workflow import STATES, TRANSITIONS, State, parse_state

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.report import FindingReport

__all__ = ["AttemptRecord", "Journal", "MigrationRecord", "Pin", "SampleRecord", "TableRecord"]


class Journal(AttemptJournal, ProgressJournal, FindingJournal, ComparisonJournal):
    """A state store, opened. ``lease`` says who works on a migration."""

    @property
    def lease(self) -> Lease:
        """Return the lease rows of this store."""
        return Lease(self._engine)

    def create(
        self,
        name: str,
        *,
        key: str,
        source: Pin,
        destination: Pin,
        workflow: str,
        tables: Iterable[str],
        findings: Iterable[FindingReport],
    ) -> MigrationRecord:
        """Write a new migration in state ``planned``. Raises MigrationExists."""
        values = _plan(key, source, destination, workflow, tables)
        statement = insert(migration).values(name=name, state=State.PLANNED.value, **values)
        try:
            with writing(self._engine) as connection:
                (migration_id,) = connection.execute(statement.returning(migration.c.id)).one()
                put_findings(connection, migration_id, findings)
        except IntegrityError:
            raise MigrationExists(
                f"a migration {name!r} is already in the state store", hint="migrator status"
            ) from None
        return self.load(name)

    def replan(
        self,
        migration_id: int,
        *,
        key: str,
        source: Pin,
        destination: Pin,
        workflow: str,
        tables: Iterable[str],
        findings: Iterable[FindingReport],
    ) -> None:
        """Replace the plan of a migration that is still ``planned``. Raises StaleState."""
        values = _plan(key, source, destination, workflow, tables)
        with writing(self._engine) as connection:
            _swap(connection, migration_id, State.PLANNED, **values)
            put_findings(connection, migration_id, findings)

    def load(self, name: str) -> MigrationRecord:
        """Return the migration of that name. Raises UnknownMigration, listing the known ones."""
        found = self.find(name)
        if found is None:
            known = self.names()
            raise UnknownMigration(
                f"there is no migration {name!r} in {shown(self._engine.url)}; "
                + (f"it holds {', '.join(known)}" if known else "it holds none"),
                hint="migrator plan",
                known=known,
            )
        return found

    def find(self, name: str) -> MigrationRecord | None:
        """Return the migration of that name, or None."""
        with reading(self._engine) as connection:
            statement = select(*migration.columns).where(migration.c.name == name)
            row = connection.execute(statement).mappings().one_or_none()
        if row is None:
            return None
        own = ("id", "name", "key", "workflow", "created_at", "updated_at")
        return MigrationRecord(
            state=parse_state(row["state"]),
            source=_pin(row, "source"),
            destination=_pin(row, "destination"),
            table_list=tuple(row["table_list"]),
            **{column: row[column] for column in own},
        )

    def names(self) -> list[str]:
        """Return the names of all migrations, sorted."""
        with reading(self._engine) as connection:
            return sorted(connection.execute(select(migration.c.name)).scalars())

    def move(self, migration_id: int, from_state: State, to_state: State) -> None:
        """Swap the state, and record the move. Raises StaleState when it is not ``from_state``.

        The last state takes the lease with it: no further command would clear that of a killed run.
        """
        moment = now()
        with writing(self._engine) as connection:
            _swap(connection, migration_id, from_state, state=to_state.value)
            put_attempt(
                connection,
                migration_id,
                _way_between(from_state, to_state),
                to_state.value,
                "state",
                outcome="done",
                evidence={"from": from_state.value, "to": to_state.value},
                started_at=moment,
                finished_at=moment,
            )
            if to_state is STATES[-1]:
                connection.execute(delete(lease).where(lease.c.migration_id == migration_id))


def _plan(key: str, source: Pin, destination: Pin, workflow: str, tables: Iterable[str]) -> dict[str, Any]:
    pins = {"source": source, "destination": destination}
    columns = {f"{side}_{name}": value for side, pin in pins.items() for name, value in vars(pin).items()}
    return {"key": key, "workflow": workflow, "table_list": list(tables), **columns}


def _pin(row: Any, side: str) -> Pin:
    return Pin(**{name: row[f"{side}_{name}"] for name in Pin.__dataclass_fields__})


def _swap(connection: Connection, migration_id: int, expected: State, **values: Any) -> None:
    """Change a migration only if it still is in the state that the caller saw."""
    mine = (migration.c.id == migration_id, migration.c.state == expected.value)
    if connection.execute(update(migration).where(*mine).values(**values)).rowcount == 1:
        return
    query = select(migration.c.state).where(migration.c.id == migration_id)
    found = connection.execute(query).scalar_one_or_none()
    if found is None:
        raise UnknownMigration(f"there is no migration number {migration_id}", hint="migrator plan")
    raise StaleState(
        f"refused: the migration is {found}, not {expected}; another command has moved it",
        hint="migrator status",
        state=found,
        expected=expected.value,
    )


def _way_between(one: State, other: State) -> str:
    """Return the transition that joins two states, whichever way it was walked."""
    return next((t.name for t in TRANSITIONS if {t.source, t.target} == {one, other}), "")
