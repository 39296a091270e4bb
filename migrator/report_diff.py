"""The value objects that ``migrator diff`` answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.report import Report

if TYPE_CHECKING:
    from datetime import datetime

# What must be seen first; up to where something is different, and up to where something is not decided.
ORDER = ("missing", "different", "not_compared", "unresolved", "not_streamed", "equal")
DIFFERENT, UNDECIDED = ORDER[:2], ORDER[2:5]
# How tables are compared whose rows are only counted.
COUNT = "count"

# The texts of a row's key; where there is none, the row's hash.
Identity = tuple[str, ...]


@dataclass(frozen=True)
class RowDifference(Report):
    """One row: its key, and the columns that differ as name, the source's text, the destination's.

    ``only_on`` is the side that alone has it; all its columns are told then. None as a text is null.
    """

    key: dict[str, str]
    columns: tuple[tuple[str, str | None, str | None], ...]
    only_on: str = ""


@dataclass(frozen=True)
class TableDifference(Report):
    """One table: rows as counted by the snapshots, proven differences, rows that could not be decided.

    ``verdict`` is one of ``ORDER``. ``different`` is a number of rows, with ``more`` a lower bound. ``rows``
    is a sample of them; ``moving`` are those of the ``unresolved`` that are known.
    """

    table: str
    verdict: str
    source: int | None = None
    destination: int | None = None
    different: int = 0
    more: bool = False
    unresolved: int = 0
    note: str = ""
    rows: tuple[RowDifference, ...] = ()
    moving: tuple[Identity, ...] = ()


@dataclass(frozen=True)
class ComparedTable:
    """What the newest comparison that covered a table said of it; ``moving`` are rows it could not decide."""

    table_name: str
    verdict: str
    how: str
    different: int
    moving: tuple[Identity, ...]
    at: datetime


@dataclass(frozen=True)
class ProvenRows(Report):
    """What a switchover's proof said of all tables; ``how`` is the function that hashed their rows.

    Of the rows that comparisons before it had left undecided so many are ``equal`` and ``different``.
    """

    how: str
    tables: tuple[TableDifference, ...]
    equal: int
    different: int


@dataclass(frozen=True)
class DataDiffReport(Report):
    """Both sides' rows compared, what differs first.

    ``stream`` is forward, back once the destination takes the writes, or empty where there is none: no more
    than that nothing was written meanwhile makes the comparison exact then. ``lsn`` is the oldest position
    that something was compared at; ``left_out`` counts tables by the reason; ``fix`` is a script for psql,
    where one was asked for.
    """

    migration: str
    state: str
    stream: str
    how: str
    lsn: str
    seconds: float
    verdict: str
    tables: tuple[TableDifference, ...]
    left_out: dict[str, int]
    resumed: int = 0
    fix: str = ""

    @property
    def exit_code(self) -> int:
        """Return 0 where all is equal, 4 where something differs, 5 where something is not decided.

        Also 5 where tables were left out, unless those to compare were named.
        """
        if self.verdict == "different":
            return 4
        return 0 if self.verdict == "equal" and not self.left_out else 5


def verdict_of(tables: tuple[TableDifference, ...]) -> str:
    """Return the whole's verdict: equal, different or undecided."""
    found = {table.verdict for table in tables}
    if found & set(DIFFERENT):
        return "different"
    return "undecided" if found & set(UNDECIDED) else "equal"
