"""Turn what ``migrator diff`` found into lines: what differs first, the two sides of each row together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.render.left_out import left_out
from migrator.render.units import columns, count_text, plural, seconds_text, visible

if TYPE_CHECKING:
    from migrator.report_diff import DataDiffReport, RowDifference, TableDifference

STREAMS = {
    "forward": "source → destination",
    "back": "destination → source",
    "": "no stream: equal only as far as nothing was written meanwhile",
}
# A value is cut here, to keep a row's two sides beside each other.
WIDTH = 60


def data_diff(report: DataDiffReport, verbose: bool = False) -> list[str]:
    """Return the tables that are not equal, with the rows that differ; all tables when verbose."""
    lines = ["  ".join(filter(None, (visible(report.migration), report.state, STREAMS[report.stream])))]
    shown = [t for t in report.tables if verbose or t.verdict != "equal"]
    for line, table in zip(columns([_table(t) for t in shown]), shown, strict=True):
        lines.append(line)
        for row in table.rows:
            lines += _row(row)
        if table.rows and (table.different > len(table.rows) or table.more):
            lines.append("      and more")
    equal = [t for t in report.tables if t.verdict == "equal"]
    rows = sum(t.source or 0 for t in equal)
    total = f"{count_text(len(equal))} of {plural(len(report.tables), 'table')} equal"
    total += f" · {plural(rows, 'row')} · by {report.how}"
    total += f" · at LSN {report.lsn}" if report.lsn else ""
    lines.append(f"  {report.verdict}: {total} · {seconds_text(report.seconds)}")
    if report.resumed:
        lines.append(f"  {plural(report.resumed, 'unit')} of these from a run before, which was cut short")
    return lines + left_out(report.left_out)


def _table(table: TableDifference) -> list[str]:
    sides = (("source", table.source), ("destination", table.destination))
    counts = [f"{count_text(n)} on the {side}" for side, n in sides if n is not None]
    notes = []
    if table.different:
        least = " or more" if table.more else ""
        notes.append(f"{count_text(table.different)}{least} of its rows")
    if table.unresolved:
        notes.append(f"{count_text(table.unresolved)} written to all the while, and not decided")
    notes += [visible(table.note)] if table.note else []
    return [table.verdict.replace("_", " "), visible(table.table), " · ".join(counts), "; ".join(notes)]


def _row(row: RowDifference) -> list[str]:
    key = ", ".join(f"{visible(name)}={visible(value)}" for name, value in row.key.items())
    if row.only_on:
        at = 1 if row.only_on == "source" else 2
        values = ", ".join(f"{visible(column[0])}={_value(column[at])}" for column in row.columns)
        return [f"      {key or values} is only on the {row.only_on}"]
    told = [[f"    {visible(name)}", _value(one), "|", _value(other)] for name, one, other in row.columns]
    return [f"      {key}", *columns(told, indent="      ")]


def _value(text: str | None) -> str:
    if text is None:
        return "null"
    written = visible(text)
    return f"'{written}'" if len(written) <= WIDTH else f"'{written[:WIDTH]}…"
