"""Turn answers into lines of text for people: subject first, aligned, nothing that is not asked."""

from __future__ import annotations

from functools import singledispatch

from migrator.render.comparison import comparisons
from migrator.render.copy_diff import copy_diff
from migrator.render.diff import data_diff
from migrator.render.diff_schema import diff_schema
from migrator.render.findings import findings, summary
from migrator.render.repair import repair
from migrator.render.sql import beginning
from migrator.render.units import (
    bytes_text,
    columns,
    count_text,
    moment_text,
    plural,
    seconds_text,
    visible,
)
from migrator.render.unreplicated import unreplicated
from migrator.report import (
    AdvanceReport,
    AttemptReport,
    CheckReport,
    HistoryReport,
    IndexProgress,
    MiscReport,
    PartReport,
    PlanReport,
    ProgressReport,
    Report,
    ServerReport,
    StatusReport,
    StreamReport,
    TableProgress,
    TransitionReport,
)
from migrator.report_copy_diff import CopyDiffReport
from migrator.report_diff import DataDiffReport
from migrator.report_diff_schema import SchemaDiffReport
from migrator.report_repair import RepairReport
from migrator.workflow import TRANSITIONS

NO_RETURN = {t.no_return_at for t in TRANSITIONS if t.no_return_at}
FINISHED = ("copied", "done")


@singledispatch
def text(report: Report, _verbose: bool = False) -> list[str]:
    """Return the lines of any answer; one that is not known shows its fields."""
    rows = [[key, visible(str(value))] for key, value in report.as_dict().items()]
    return columns(rows, indent="")


text.register(CopyDiffReport, copy_diff)
text.register(MiscReport, unreplicated)
text.register(SchemaDiffReport, diff_schema)
text.register(DataDiffReport, data_diff)
text.register(RepairReport, repair)


@text.register(StatusReport)
def status(report: StatusReport, verbose: bool = False) -> list[str]:
    """Return where a migration stands: warnings first, then both servers, stream, transitions."""
    name = visible(report.migration)
    turn = next((t.name for t in report.transitions if t.status == "next"), "")
    todo = f" → next: {report.next}" + (f" ({turn})" if turn else "") if report.next else ""
    lines = [f"warning: {visible(warning)}" for warning in report.warnings]
    lines.append(f"{name}  {report.state}{todo}")
    if report.last_error:
        lines.append(f"  last error: {visible(report.last_error)}")
    if report.holder:
        lines.append(f"  held by {visible(report.holder)}")
    lines += _with_stream(_servers(report.source, report.destination), report.stream)
    if report.second_copy_seconds is not None:
        seconds = seconds_text(report.second_copy_seconds)
        lines.append(f"  cutover  copies again what the stream does not carry: about {seconds} more")
    if report.way_back:
        lines.append(f"  way back     {visible(report.way_back)}")
    if report.rehearsal:
        lines.append(f"  rehearsal    {report.rehearsal}")
    lines += comparisons(report)
    if report.proof:
        lines.append(f"  proof        {visible(report.proof)}")
    if report.refused_writes:
        lines.append(f"  refused      {plural(report.refused_writes, 'write')} since the cutover")
    lines += columns([[t.name, t.status, _share(t)] for t in report.transitions])
    if verbose:
        for transition in report.transitions:
            lines += _steps(transition)
    return lines


@text.register(PlanReport)
def plan(report: PlanReport, _verbose: bool = False) -> list[str]:
    """Return what will be done: findings first (blocking ones above all), then the steps.

    A plan that was written is told without its steps: the preview told them.
    """
    lines = [f"{visible(report.migration)}  {f'now {report.state}' if report.state else 'not planned yet'}"]
    lines += columns(_servers(report.source, report.destination))
    lines.append(
        f"  {plural(report.tables, 'table')} · {bytes_text(report.bytes)} · "
        f"{plural(report.sequences, 'sequence')}"
    )
    lines += findings(report.findings)
    for transition in () if report.written else report.transitions:
        lines += _steps(transition)
    lines += beginning(report.sql)
    if report.written:
        lines.append(f"state  {report.state}, written down; the servers are as they were")
        lines.append("  next: migrator advance")
    return lines


@text.register(CheckReport)
def checked(report: CheckReport, verbose: bool = False) -> list[str]:
    """Return what was found, and in one line what that means."""
    return [*findings(report.findings, every=verbose, coloured=True), summary(report)]


@text.register(AdvanceReport)
def advanced(report: AdvanceReport, _verbose: bool = False) -> list[str]:
    """Return the states gone through, what needs attention, and the next command."""
    lines = [
        f"{visible(report.migration)}  {report.came_from} → {report.state}  in {seconds_text(report.seconds)}"
    ]
    lines += [f"  attention: {visible(line)}" for line in report.attention]
    if report.next:
        lines.append(f"  next: {report.next}")
    return lines


@text.register(ProgressReport)
def progress(report: ProgressReport, verbose: bool = False) -> list[str]:
    """Return how far the copy is: indexes and tables at work first, finished ones only when verbose."""
    amounts = [
        f"{count_text(report.tables_done)} of {plural(report.tables_total, 'table')}",
        f"{bytes_text(report.bytes_done)} of {bytes_text(report.bytes_total)}",
        plural(report.rows_done, "row"),
    ]
    if report.bytes_per_second > 0:
        amounts.append(f"{bytes_text(report.bytes_per_second)}/s")
    if report.eta_seconds is not None and report.tables_done < report.tables_total:
        amounts.append(f"{seconds_text(report.eta_seconds)} left")
    lines = [f"{visible(report.migration)}  {report.state}", "  " + " · ".join(amounts)]
    lines += _with_stream([], report.stream)
    lines += columns([_index(index) for index in report.indexes])
    shown = [t for t in report.tables if verbose or t.state not in FINISHED]
    shown.sort(key=lambda t: (t.state in FINISHED, t.state != "copying"))
    return lines + columns([_table(table) for table in shown])


@text.register(HistoryReport)
def history(report: HistoryReport, verbose: bool = False) -> list[str]:
    """Return one line per attempt, oldest first, and below a failed one its error."""
    lines = [f"{visible(report.migration)}  {report.state}"]
    rows = columns([_attempt(attempt) for attempt in report.attempts])
    for attempt, row in zip(report.attempts, rows, strict=True):
        lines.append(row)
        if attempt.error:
            lines.append(f"      {visible(str(attempt.error.get('message') or attempt.error))}")
        if parts := attempt.evidence.get("parts_ms"):
            told = " · ".join(f"{part} {ms:g} ms" for part, ms in parts.items())
            lines.append(f"      {sum(parts.values()):.0f} ms: {told}")
        if verbose:
            lines.append(f"      {visible(attempt.host)} pid {attempt.pid} v{attempt.version}")
            lines += [f"      {key} {visible(str(v))}" for key, v in attempt.evidence.items()]
    return lines


def _servers(source: ServerReport, destination: ServerReport) -> list[list[str]]:
    return [_server(source), _server(destination)]


def _server(server: ServerReport) -> list[str]:
    where = visible(f"{server.where}/{server.database}")
    if server.error:
        # The warning above says why.
        return [server.side, "?", where, "cannot be reached"]
    return [server.side, server.version, where]


def _with_stream(rows: list[list[str]], stream: StreamReport | None) -> list[str]:
    """Return rows as lines, with the stream's below them, and with what it holds back on the source."""
    if stream is None:
        return columns(rows)
    back = " back" if stream.direction == "back" else ""
    parts = [[f"stream{back} {n}", *_part(part)] for n, part in enumerate(stream.parts, 1)]
    rows = [*rows, [f"streams{back}" if parts else f"stream{back}", *_stream(stream)], *parts]
    width = max(len(row[0]) for row in rows)
    held = _held_back(stream)
    return columns(rows) + ([f"  {'vacuum':<{width}}  {held}"] if held else [])


def _stream(stream: StreamReport) -> list[str]:
    cells = [stream.state, _lag(stream)]
    if stream.retained_bytes is not None:
        cells.append(f"retained WAL {bytes_text(stream.retained_bytes)}{_trend(stream.retained_growth)}")
    if stream.wal_status not in ("", "reserved"):
        cells.append(f"WAL {stream.wal_status}")
    if stream.safe_wal_size is not None:
        cells.append(f"lost after {bytes_text(stream.safe_wal_size)} more")
    if stream.error_count:
        cells.append(plural(stream.error_count, "error"))
    return cells


def _part(part: PartReport) -> list[str]:
    cells = [part.state, _lag(part)]
    if part.retained_bytes is not None:
        cells.append(f"retained WAL {bytes_text(part.retained_bytes)}")
    if part.wal_status not in ("", "reserved"):
        cells.append(f"WAL {part.wal_status}")
    if part.error_count:
        cells.append(plural(part.error_count, "error"))
    return cells


def _lag(stream: StreamReport | PartReport) -> str:
    lag = []
    if stream.lag_bytes is not None:
        lag.append(bytes_text(stream.lag_bytes))
    if stream.lag_seconds is not None:
        lag.append(seconds_text(stream.lag_seconds))
    return f"lag {' · '.join(lag)}" if lag else "lag unknown"


def _trend(growth: float | None) -> str:
    """Return which way retained WAL goes, where that is known and worth a word."""
    if growth is None or abs(growth) < 1:
        return ""
    return f", {'growing' if growth > 0 else 'shrinking'} {bytes_text(abs(growth))}/s"


def _held_back(stream: StreamReport) -> str:
    """Return what the migration keeps vacuum from: the snapshot every table's rows, the slot catalogs'."""
    told = []
    if stream.snapshot_seconds:
        age = plural(stream.snapshot_transactions, "transaction")
        told.append(f"for {seconds_text(stream.snapshot_seconds)} by the snapshot ({age})")
    if stream.catalog_transactions is not None:
        told.append(f"in catalogs by the slot ({plural(stream.catalog_transactions, 'transaction')})")
    return f"held back {' · '.join(told)}" if told else ""


def _share(transition: TransitionReport) -> str:
    """Return how many steps are done of a transition that is begun and not finished."""
    done = sum(step.found == "done" for step in transition.steps)
    begun = transition.status == "next" and any(
        step.found in ("done", "partial") for step in transition.steps
    )
    return f"{done} of {plural(len(transition.steps), 'step')} done" if begun else ""


def _steps(transition: TransitionReport) -> list[str]:
    undo = transition.status == "undo"
    head = f"undo {transition.name}" if undo else f"{transition.name}  → {transition.target}"
    rows = [
        [
            step.name,
            step.found,
            "point of no return" if step.name in NO_RETURN and not undo else "",
            visible(step.detail),
        ]
        for step in transition.steps
    ]
    return [head, *columns(rows)]


def _index(index: IndexProgress) -> list[str]:
    name = f"{index.index} on {index.table}" if index.index else f"on {index.table}"
    done = "" if index.percent is None else f"{index.percent:.0f} %"
    return ["index", visible(name), index.phase, done]


def _table(table: TableProgress) -> list[str]:
    size = bytes_text(table.bytes)
    if table.state not in FINISHED and table.estimated_bytes:
        size += f" of {bytes_text(table.estimated_bytes)}"
    took = seconds_text(table.seconds) if table.seconds else ""
    return [visible(table.table), table.state, size, plural(table.rows, "row"), took]


def _attempt(attempt: AttemptReport) -> list[str]:
    took = ""
    if attempt.finished_at is not None and attempt.kind != "state":
        took = seconds_text((attempt.finished_at - attempt.started_at).total_seconds())
    return [
        str(attempt.number),
        moment_text(attempt.started_at),
        attempt.transition,
        attempt.step,
        attempt.kind,
        attempt.outcome,
        took,
    ]
