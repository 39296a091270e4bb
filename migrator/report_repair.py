"""The value objects that ``migrator diff --repair`` answers with."""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrator.report import Report
from migrator.report_diff import ORDER, DataDiffReport, verdict_of


@dataclass(frozen=True)
class TableRepair(Report):
    """What became of one table: ``rows`` were repaired, or copied again with all of it, the ``whole``.

    ``left`` rows were not as they had been proven any more, and ``note`` says what else stood in the way.
    """

    table: str
    rows: int = 0
    left: int = 0
    whole: bool = False
    note: str = ""


@dataclass(frozen=True)
class RepairReport(Report):
    """What was repaired on a ``side``, and the comparison afterwards.

    ``file`` holds what was done and what undoes it; empty where nothing was to be done.
    """

    migration: str
    side: str
    file: str
    tables: tuple[TableRepair, ...]
    diff: DataDiffReport

    @property
    def exit_code(self) -> int:
        """Return that of the comparison."""
        return self.diff.exit_code


def together(before: DataDiffReport, again: DataDiffReport) -> DataDiffReport:
    """Return a comparison with what was found of some of its tables when they were compared again."""
    found = {table.table: table for table in (*before.tables, *again.tables)}
    tables = tuple(sorted(found.values(), key=lambda t: (ORDER.index(t.verdict), t.table)))
    return replace(
        before,
        verdict=verdict_of(tables),
        tables=tables,
        seconds=round(before.seconds + again.seconds, 2),
    )
