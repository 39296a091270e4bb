"""What the engine tells while it works; renderers turn these into lines, bars or JSON.

Events carry facts, never prose and never a password. A renderer is ``handle(event)``; an event it
does not know becomes a generic line.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Event:
    """The root of all events."""

    def as_dict(self) -> dict[str, Any]:
        """Return the event as one JSON-ready object."""
        return {"event": type(self).__name__, **asdict(self)}


@dataclass(frozen=True)
class TransitionStarted(Event):
    """A transition begins; ``undo`` when it is walked backwards."""

    transition: str
    source: str
    target: str
    steps: tuple[str, ...]
    undo: bool = False


@dataclass(frozen=True)
class StepStarted(Event):
    """A step is about to be probed; ``number`` of ``total`` in its transition."""

    transition: str
    step: str
    number: int
    total: int
    undo: bool = False


@dataclass(frozen=True)
class StepFound(Event):
    """What the probe saw: ``absent``, ``partial`` or ``done``."""

    step: str
    found: str
    detail: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepProgress(Event):
    """How far a step is. ``unit`` is ``bytes``, ``tables``, ``indexes`` …; ``total`` 0 = unknown."""

    step: str
    done: int
    total: int
    unit: str
    what: str = ""


@dataclass(frozen=True)
class CopyStarted(Event):
    """The initial copy begins: the tables with their estimated bytes.

    From nothing, or when ``resumed`` with those that were not in yet.
    """

    tables: tuple[tuple[str, int], ...]
    resumed: bool = False


@dataclass(frozen=True)
class TableProgressed(Event):
    """One table of the initial copy: ``state`` is copying or copied; bytes and rows as really sent."""

    table: str
    state: str
    rows: int
    bytes: int
    estimated_bytes: int


@dataclass(frozen=True)
class SourceSampled(Event):
    """What the source bears for us: the slot's WAL, and the age in seconds of our oldest snapshot (0: none).

    ``safe_wal_size`` is what may still be written before the slot is lost; None: no limit, or not known.
    """

    retained_bytes: int
    wal_status: str
    safe_wal_size: int | None
    lag_bytes: int | None
    snapshot_age: float


@dataclass(frozen=True)
class StepNote(Event):
    """Something the operator should read while a step runs (a retry, a restart of the copy)."""

    step: str
    text: str


@dataclass(frozen=True)
class StepFinished(Event):
    """A step is done (or undone) and proven."""

    step: str
    seconds: float
    evidence: dict[str, Any]
    undo: bool = False


@dataclass(frozen=True)
class StepFailedEvent(Event):
    """A step stopped with an error; the state stays."""

    step: str
    error: dict[str, Any]
    undo: bool = False


@dataclass(frozen=True)
class StateChanged(Event):
    """The stored state moved."""

    source: str
    target: str


Emit = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """Drop the event; the default listener."""
