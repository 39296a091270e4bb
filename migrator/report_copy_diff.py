"""The value objects that ``migrator copy-diff`` answers with."""

from __future__ import annotations

from dataclasses import dataclass

from migrator.report import Report

# The verdicts, what must be seen first, and up to which of them something is not the same.
ORDER = ("missing", "differs", "not_compared", "moving", "behind", "not_streamed", "ahead", "equal")
DIFFERENCES = ORDER[:3]


@dataclass(frozen=True)
class TableCount(Report):
    """One table counted on both sides; None where a side was not counted.

    ``verdict`` is one of ``ORDER``; ``looks`` is how often it was looked at.
    """

    table: str
    verdict: str
    source: int | None = None
    destination: int | None = None
    looks: int = 0
    note: str = ""


@dataclass(frozen=True)
class SequencePosition(Report):
    """One sequence's last value on both sides, None where there is none yet or it could not be read."""

    sequence: str
    verdict: str
    source: int | None = None
    destination: int | None = None
    note: str = ""


@dataclass(frozen=True)
class CopyDiffReport(Report):
    """Tables and sequences compared, what differs first.

    ``left_out`` counts tables by the reason: excluded by ``[tables]``, unlogged, new, or foreign.

    ``stream`` is forward, back once the destination takes the writes, or empty where there is none yet.
    """

    migration: str
    state: str
    stream: str
    seconds: float
    different: int
    tables: tuple[TableCount, ...]
    sequences: tuple[SequencePosition, ...]
    left_out: dict[str, int]
    next: str = ""

    @property
    def differences(self) -> list[str]:
        """Name what is not the same on both sides, or was not compared."""
        return [t.table for t in self.tables if t.verdict in DIFFERENCES] + [
            f"sequence {s.sequence}" for s in self.sequences if s.verdict in DIFFERENCES
        ]
