"""Turn what ``migrator copy-diff`` found into lines: what differs first, what is equal as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.render.left_out import left_out
from migrator.render.units import columns, count_text, plural, seconds_text, visible

if TYPE_CHECKING:
    from migrator.report_copy_diff import CopyDiffReport, SequencePosition, TableCount

STREAMS = {
    "forward": "source → destination",
    "back": "destination → source",
    "": "no stream yet",
}
# What is told by its number, unless more is asked for.
QUIET = ("equal", "ahead")


def copy_diff(report: CopyDiffReport, verbose: bool = False) -> list[str]:
    """Return the tables and sequences that are not equal, all of them when verbose, and the totals."""
    lines = [f"{visible(report.migration)}  {report.state}  {STREAMS[report.stream]}"]
    rows = [_table(t) for t in report.tables if verbose or t.verdict not in QUIET]
    rows += [_sequence(s) for s in report.sequences if verbose or s.verdict not in QUIET]
    lines += columns(rows)
    equal = [t for t in report.tables if t.verdict == "equal"]
    again = sum(t.looks > 1 for t in equal)
    total = f"{count_text(len(equal))} of {plural(len(report.tables), 'table')} equal"
    total += f" ({count_text(again)} in a quiet moment)" if again else ""
    well = sum(s.verdict in QUIET for s in report.sequences)
    total += f" · {count_text(well)} of {plural(len(report.sequences), 'sequence')} not behind"
    lines.append(f"  {total} · {seconds_text(report.seconds)}")
    if report.stream == "forward" and any(t.verdict == "moving" for t in report.tables):
        lines.append("  what is moving is compared exactly, row by row, at the cutover ([cutover] prove)")
    return lines + left_out(report.left_out)


def _table(table: TableCount) -> list[str]:
    counts = [f"{count_text(n)} on the {side}" for side, n in _sides(table) if n is not None]
    return [_word(table.verdict), "table", visible(table.table), " · ".join(counts), visible(table.note)]


def _sequence(sequence: SequencePosition) -> list[str]:
    values = [f"{'unused' if n is None else n} on the {side}" for side, n in _sides(sequence)]
    known = sequence.verdict not in ("missing", "not_compared")
    return [
        _word(sequence.verdict),
        "sequence",
        visible(sequence.sequence),
        " · ".join(values) if known else "",
        visible(sequence.note),
    ]


def _sides(found: TableCount | SequencePosition) -> tuple[tuple[str, int | None], ...]:
    return ("source", found.source), ("destination", found.destination)


def _word(verdict: str) -> str:
    return verdict.replace("_", " ")
