"""The value objects that commands answer with; ``render`` shows them as text or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class Report:
    """The root of all answers."""

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as one JSON-ready object."""
        return asdict(self)


@dataclass(frozen=True)
class ServerReport(Report):
    """One server as seen now. ``error`` is set when it could not be reached."""

    side: str
    where: str
    database: str
    version: str = ""
    system_identifier: str = ""
    error: str = ""


@dataclass(frozen=True)
class FindingReport(Report):
    """One result of a check: ``severity`` is block, warn or info.

    ``fix`` is SQL when ``on`` names the side it is to be run on. ``waived`` is the reason, if it is.
    """

    check: str
    severity: str
    subject: str
    message: str
    fix: str
    on: str = ""
    waived: str = ""


@dataclass(frozen=True)
class CheckReport(Report):
    """What the checks before a transition (or ``plan``) found, worst first, and how many there are."""

    migration: str
    before: str
    source: str
    destination: str
    checks: int
    findings: tuple[FindingReport, ...]
    blocked: int


@dataclass(frozen=True)
class UnreplicatedReport(Report):
    """One object that logical replication does not carry; ``bytes`` is None where it has no size."""

    kind: str
    name: str
    becomes: str
    bytes: int | None = None


@dataclass(frozen=True)
class MiscReport(Report):
    """What the source has that logical replication does not carry, kind by kind."""

    migration: str
    source: str
    objects: tuple[UnreplicatedReport, ...]


@dataclass(frozen=True)
class StepReport(Report):
    """One step: ``found`` is absent, partial, done, conflict, or empty when it was not looked at."""

    name: str
    found: str = ""
    detail: str = ""


@dataclass(frozen=True)
class StatementReport(Report):
    """SQL that a step would run, and on which side; without a password."""

    step: str
    side: str
    text: str


@dataclass(frozen=True)
class TransitionReport(Report):
    """One transition and its steps. ``status`` is done, next, later or undo."""

    name: str
    source: str
    target: str
    status: str
    steps: tuple[StepReport, ...] = ()


@dataclass(frozen=True)
class PlanReport(Report):
    """What a migration will do, or what one command would do (``--dry-run``)."""

    migration: str
    state: str
    source: ServerReport
    destination: ServerReport
    tables: int
    bytes: int
    sequences: int
    findings: tuple[FindingReport, ...]
    transitions: tuple[TransitionReport, ...]
    written: bool = False
    sql: tuple[StatementReport, ...] = ()


@dataclass(frozen=True)
class PartReport(Report):
    """One of several streams, by the name of its subscription."""

    name: str
    state: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    wal_status: str = ""
    error_count: int | None = None


@dataclass(frozen=True)
class StreamReport(Report):
    """The stream, and what its publisher bears for it; of several streams the worst, and each.

    ``direction`` is forward, or back once the destination takes the writes.
    ``retained_growth`` is in bytes per second; ``safe_wal_size`` is what may still be written before the
    slot is lost. Our oldest snapshot holds vacuum back by its seconds and transactions, the slot by
    ``catalog_transactions``, in catalogs only.
    """

    state: str
    lag_bytes: int | None = None
    lag_seconds: float | None = None
    retained_bytes: int | None = None
    wal_status: str = ""
    error_count: int | None = None
    retained_growth: float | None = None
    safe_wal_size: int | None = None
    snapshot_seconds: float = 0.0
    snapshot_transactions: int = 0
    catalog_transactions: int | None = None
    parts: tuple[PartReport, ...] = ()
    direction: Literal["forward", "back"] = "forward"


UNFINISHED = "unfinished"


@dataclass(frozen=True)
class ComparisonReport(Report):
    """A comparison of rows: of what, how long ago, and what it came to.

    ``verdict`` is equal, different or undecided; of one that was cut short, or still runs, unfinished.
    ``stream`` is forward or back, ``how`` the function that hashed the rows, or count. ``patterns`` are
    empty where all tables were compared; ``tables`` counts them by verdict. There may be ``more`` rows that
    are different. Of those that were left undecided the switchover's proof has settled so many.
    """

    verdict: str
    stream: str
    how: str
    lsn: str
    age_seconds: float
    patterns: tuple[str, ...] = ()
    tables: dict[str, int] = field(default_factory=dict)
    rows_different: int = 0
    more: bool = False
    rows_unresolved: int = 0
    settled_equal: int | None = None
    settled_different: int | None = None


@dataclass(frozen=True)
class StatusReport(Report):
    """Where a migration stands. ``warnings`` come first in every rendering; ``next`` is a command.

    ``second_copy_seconds`` is what copying again what no stream carries adds to the cutover's pause, about.
    ``way_back`` is available, degraded or lost once the cutover is done, with the reason; ``rehearsal`` is
    the last one's pause and age; ``comparison`` is the last one that ended since the stream began,
    ``unfinished`` a newer one that did not; ``proof`` says whether the rows were equal when the writes
    changed hands, ``refused_writes`` how many were tried on the other side since.
    """

    migration: str
    state: str
    next: str
    source: ServerReport
    destination: ServerReport
    transitions: tuple[TransitionReport, ...]
    stream: StreamReport | None = None
    holder: str = ""
    last_error: str = ""
    warnings: tuple[str, ...] = ()
    second_copy_seconds: float | None = None
    way_back: str = ""
    rehearsal: str = ""
    comparison: ComparisonReport | None = None
    unfinished: ComparisonReport | None = None
    proof: str = ""
    refused_writes: int = 0


@dataclass(frozen=True)
class TableProgress(Report):
    """One table of the initial copy; bytes and rows as really sent."""

    table: str
    state: str
    rows: int = 0
    bytes: int = 0
    estimated_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class IndexProgress(Report):
    """One index that is being built; ``percent`` is of its present phase, None where it is not counted."""

    index: str
    table: str
    phase: str
    percent: float | None = None


@dataclass(frozen=True)
class ProgressReport(Report):
    """How far the initial copy and the stream are. Rates are per second; ``eta_seconds`` may be unknown."""

    migration: str
    state: str
    tables_done: int
    tables_total: int
    bytes_done: int
    bytes_total: int
    rows_done: int
    bytes_per_second: float
    eta_seconds: float | None
    tables: tuple[TableProgress, ...]
    stream: StreamReport | None = None
    indexes: tuple[IndexProgress, ...] = ()


@dataclass(frozen=True)
class AttemptReport(Report):
    """One run of a step, as the journal recorded it."""

    number: int
    transition: str
    step: str
    kind: str
    outcome: str
    started_at: datetime
    finished_at: datetime | None
    host: str
    pid: int
    version: str
    found: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)
    error: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class HistoryReport(Report):
    """Everything that was tried, oldest first."""

    migration: str
    state: str
    attempts: tuple[AttemptReport, ...]


@dataclass(frozen=True)
class AdvanceReport(Report):
    """What ``advance`` or ``rollback-to`` did: the states gone through, and what comes next."""

    migration: str
    came_from: str
    state: str
    seconds: float
    next: str
    attention: tuple[str, ...] = ()
