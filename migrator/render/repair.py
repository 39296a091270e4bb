"""Turn what ``migrator diff --repair`` did into lines: what was repaired, then the comparison afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.render.diff import data_diff
from migrator.render.units import columns, plural, visible

if TYPE_CHECKING:
    from migrator.report_repair import RepairReport, TableRepair


def repair(report: RepairReport, verbose: bool = False) -> list[str]:
    """Return a line for each table that was to be repaired, the file, and all of the comparison."""
    lines = columns([_table(table) for table in report.tables])
    if report.file:
        lines.append(f"  what was done on the {report.side}, and what undoes it: {visible(report.file)}")
    return [*lines, *data_diff(report.diff, verbose)]


def _table(table: TableRepair) -> list[str]:
    done = f"{plural(table.rows, 'row')} {'copied again' if table.whole else 'repaired'}"
    left = f"{plural(table.left, 'row')} left, changed meanwhile" if table.left else ""
    return ["repair", visible(table.table), " · ".join(filter(None, (done, left))), visible(table.note)]
