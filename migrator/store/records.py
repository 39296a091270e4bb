"""What the store answers with: frozen values, never a database object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime

    from migrator.workflow import State

Kind = Literal["apply", "undo", "state"]
Outcome = Literal["running", "done", "skipped", "failed"]
TableState = Literal["planned", "copying", "done", "failed"]


@dataclass(frozen=True)
class Pin:
    """What a server was when the migration was planned; it must be that same server ever after."""

    system_identifier: str
    timeline: int
    database: str
    version: int


@dataclass(frozen=True)
class MigrationRecord:
    """One migration. ``workflow`` is the fingerprint of the steps it was planned with."""

    id: int
    name: str
    state: State
    key: str
    source: Pin
    destination: Pin
    workflow: str
    table_list: tuple[str, ...]
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True)
class AttemptRecord:
    """One run of a step; ``finished_at`` is None while it runs, and for ever when it was killed.

    A row of kind ``state`` is a move: ``step`` is the state reached, ``evidence`` holds both.
    """

    id: int
    transition: str
    step: str
    kind: Kind
    outcome: Outcome
    found: str
    evidence: dict[str, Any]
    error: dict[str, Any]
    started_at: datetime
    finished_at: datetime | None
    host: str
    pid: int
    version: str


@dataclass(frozen=True)
class TableRecord:
    """How far one chunk of one table is; a table that is not split has chunk 0 only."""

    table_name: str
    chunk: int
    state: TableState
    rows: int
    bytes: int
    estimated_bytes: int
    started_at: datetime | None
    finished_at: datetime | None
    error: str


@dataclass(frozen=True)
class SampleRecord:
    """One measurement of lag or progress."""

    at: datetime
    kind: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Scope:
    """What a comparison is of: which way the rows go, how they are compared, the tables by patterns."""

    stream: str
    how: str
    patterns: tuple[str, ...] = ()

    @property
    def subject(self) -> str:
        """Return the whole as one text: another comparison of the same goes on with what this one found."""
        return " ".join((self.stream, self.how, *self.patterns))


@dataclass(frozen=True)
class ComparisonRecord:
    """One comparison of rows; ``finished_at`` is None while it runs, and when it was cut short.

    ``counts`` are of tables by verdict, and of rows: ``rows_different``, ``rows_more`` (1 where there may be
    more), ``rows_moving``; ``settled_equal`` and ``settled_different`` of these by a switchover's proof.
    """

    id: int
    subject: str
    stream: str
    how: str
    patterns: list[str]
    verdict: str
    counts: dict[str, int]
    lsn: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class UnitRecord:
    """What a comparison found of a table or of a range of its key; ``bounds`` are all of the table's."""

    table_name: str
    number: int
    definition: str
    bounds: list[str]
    outcome: dict[str, Any]
