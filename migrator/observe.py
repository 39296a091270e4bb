"""Look at a migration from outside: status and progress. Writes nothing, survives a dead server."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from migrator.connections import reading
from migrator.copy.snapshot import find_slots
from migrator.errors import Unreachable
from migrator.events import ignore
from migrator.observe_comparison import comparison, unfinished
from migrator.observe_stream import stream_report
from migrator.pg import publication
from migrator.pg.catalog import unlogged_tables, unpublished_tables
from migrator.pg.index_builds import index_builds
from migrator.pg.large_objects import amount
from migrator.pg.registry import Registry
from migrator.pg.second_copy import objects_pause, tables_pause
from migrator.pg.session import shown
from migrator.report import (
    AttemptReport,
    HistoryReport,
    IndexProgress,
    ProgressReport,
    ServerReport,
    StatusReport,
    StepReport,
    TableProgress,
    TransitionReport,
)
from migrator.store.lease import process_is_gone
from migrator.switchover import fence, prelude, proof, streams
from migrator.switchover.records import handed_over, rehearsal
from migrator.switchover.way_back import way_back
from migrator.workflow import STATES, TRANSITIONS, Lifecycle, State

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.context import ReadContext
    from migrator.store.journal import Journal, MigrationRecord
    from migrator.store.records import AttemptRecord


def server_report(ctx: ReadContext, side: str) -> ServerReport:
    """Describe one server of a context."""
    server = ctx.source_server if side == "source" else ctx.destination_server
    return ServerReport(side, server.address, server.database, server.version_text, server.system_identifier)


def unreachable_report(config: Config, side: str, error: str) -> ServerReport:
    """Describe a server that did not answer."""
    url = config.source.url if side == "source" else config.destination.url
    address, _, database = shown(url).rpartition("/")
    return ServerReport(side, address, database, error=error)


def transition_reports(
    state: State, found: dict[str, StepReport] | None = None
) -> tuple[TransitionReport, ...]:
    """Describe every transition as done, next or later; ``found`` holds steps that were looked at."""
    here = STATES.index(state)
    reports = []
    for number, t in enumerate(TRANSITIONS):
        status = "done" if number < here else "next" if number == here else "later"
        steps = tuple((found or {}).get(name, StepReport(name)) for name in t.steps)
        reports.append(TransitionReport(t.name, t.source, t.target, status, steps))
    return tuple(reports)


def next_command(state: State) -> str:
    """Return what to type next, or nothing at the end."""
    return "migrator advance" if Lifecycle(state).next() else ""


def index_reports(ctx: ReadContext) -> tuple[IndexProgress, ...]:
    """Describe the index builds that go on at the destination."""
    return tuple(
        IndexProgress(b.index, b.table, b.phase, round(100 * b.done / b.total, 1) if b.total else None)
        for b in index_builds(ctx.destination)
    )


def warnings(ctx: ReadContext, record: MigrationRecord) -> list[str]:
    """Return what the operator should know before anything else."""
    found = []
    for server, pin in (
        (ctx.source_server, record.source),
        (ctx.destination_server, record.destination),
    ):
        if (server.system_identifier, server.timeline) != (pin.system_identifier, pin.timeline):
            found.append(f"the {server.side} is not the server this migration was planned with")
    committed = handed_over(ctx) is not None
    if record.state is State.CUTOVER and handed_over(ctx.mirrored()) is not None:
        found.append("the writes are given back, which is not completed: migrator rollback-to replicating")
    if committed and record.state is State.SEQ_SYNCED:
        found.append("the cutover is committed and not finished: migrator advance completes it")
    elif not committed and fence.is_up(ctx.source, ctx.names):
        found.append("the source's fence is up and no cutover is recorded")
    for session in (ctx.source, ctx.destination):
        if prelude.left(session, ctx.names):
            found.append(
                f"writers are kept out of the {session.side}: a hand-over is going on, or was killed and the "
                "next command lets them in"
            )
    if not committed and publication.published_streams(ctx.source, ctx.names):
        new = unpublished_tables(ctx.source, ctx.names, ctx.config.tables)
        if new:
            named = ", ".join(t.label for t in new[:10])
            found.append(f"tables of the source are not in the migration: {named}; migrator refresh")
    if streams.disabled(ctx) and not committed:
        found.append("the stream is disabled; the source keeps WAL for it")
    if any(slot.lost for slot in find_slots(ctx)):
        found.append("the slot has lost WAL that the stream needs: the copy must begin again")
    return found


def second_copy_seconds(ctx: ReadContext) -> float | None:
    """Estimate what the second copy adds to the cutover's pause; None where nothing is to be copied."""
    if handed_over(ctx) is not None:
        return None
    tables = ctx.config.tables
    seconds = []
    if tables.unlogged == "copy":
        unlogged = unlogged_tables(ctx.source, tables, sizes=True)
        seconds.append(tables_pause(Registry(ctx.destination, ctx.names), unlogged))
    if tables.large_objects == "copy":
        seconds.append(objects_pause(*amount(ctx.source)))
    return round(sum(seconds), 3) if seconds else None


def rehearsed(ctx: ReadContext) -> str:
    """Return the pause of the last rehearsal and how long ago it was, or nothing."""
    last = rehearsal(ctx.source, ctx.names)
    if last is None:
        return ""
    return f"{last['total_ms']:.0f} ms, {timedelta(seconds=round(last['age_seconds']))} ago"


def proven(ctx: ReadContext) -> str:
    """Return what was found of the rows at the last switchover and how long ago, or nothing."""
    last = proof.proof(ctx) or proof.proof(ctx.mirrored())
    if last is None:
        return "not made yet" if handed_over(ctx) and ctx.config.cutover.prove else ""
    return f"{proof.told(last)}, {timedelta(seconds=round(last['age_seconds']))} ago"


def refused(ctx: ReadContext) -> int:
    """Return how many writes the side that has given them away has refused since."""
    for side in (ctx, ctx.mirrored()):
        if handed_over(side) is not None:
            return fence.refused(side.source, ctx.names)
    return 0


def told(attempt: AttemptRecord | None) -> str:
    """Return the failure of an attempt in one line, or nothing."""
    if attempt is None:
        return ""
    error = attempt.error.get("message") or "it never finished (killed, or still running)"
    return f"{attempt.transition}/{attempt.step}: {error}"


def status(config: Config, journal: Journal, record: MigrationRecord) -> StatusReport:
    """Say where a migration stands, as far as the servers can be reached."""
    holder = journal.lease.holder(record.id)
    if holder is not None and process_is_gone(holder):
        holder = None
    report = StatusReport(
        migration=record.name,
        state=record.state.value,
        next=next_command(record.state),
        source=unreachable_report(config, "source", ""),
        destination=unreachable_report(config, "destination", ""),
        transitions=transition_reports(record.state),
        holder=(
            f"{holder.operator}@{holder.host} pid {holder.pid} since {holder.since:%H:%M:%S}"
            if holder
            else ""
        ),
        last_error=told(journal.last_error(record.id)),
        comparison=comparison(journal, record.id),
        unfinished=unfinished(journal, record.id),
    )
    try:
        with reading(config, record, ignore) as ctx:
            return replace(
                report,
                source=server_report(ctx, "source"),
                destination=server_report(ctx, "destination"),
                stream=stream_report(ctx, journal.samples(record.id, "source")),
                warnings=tuple(warnings(ctx, record)),
                way_back=way_back(ctx),
                rehearsal=rehearsed(ctx),
                proof=proven(ctx),
                refused_writes=refused(ctx),
                second_copy_seconds=second_copy_seconds(ctx),
            )
    except Unreachable as error:
        report = replace(report, warnings=(error.message,))
        if error.fields["side"] == "source":
            return replace(report, source=unreachable_report(config, "source", error.message))
        return replace(report, destination=unreachable_report(config, "destination", error.message))


def history(journal: Journal, record: MigrationRecord) -> HistoryReport:
    """Return everything that was tried, oldest first."""
    names = [field.name for field in fields(AttemptReport) if field.name != "number"]
    attempts = tuple(
        AttemptReport(a.id, *(getattr(a, name) for name in names)) for a in journal.attempts(record.id)
    )
    return HistoryReport(record.name, record.state.value, attempts)


def progress(config: Config, journal: Journal, record: MigrationRecord) -> ProgressReport:
    """Say how far the initial copy and the stream are."""
    rows = journal.tables(record.id)
    tables = tuple(
        TableProgress(
            r.table_name,
            r.state,
            r.rows,
            r.bytes,
            r.estimated_bytes,
            (r.finished_at - r.started_at).total_seconds() if r.finished_at and r.started_at else 0,
        )
        for r in rows
    )
    started = min((r.started_at for r in rows if r.started_at), default=None)
    ended = max((r.finished_at for r in rows if r.finished_at), default=None)
    sent = sum(t.bytes for t in tables)
    expected = sum(t.bytes if t.state == "done" else max(t.estimated_bytes, t.bytes) for t in tables)
    until = datetime.now(UTC) if any(t.state == "copying" for t in tables) else ended
    seconds = (until - started).total_seconds() if started and until else 0.0
    rate = sent / seconds if seconds > 0 else 0.0
    try:
        with reading(config, record, ignore) as ctx:
            stream = stream_report(ctx, journal.samples(record.id, "source"))
            indexes = index_reports(ctx)
    except Unreachable:
        stream, indexes = None, ()
    return ProgressReport(
        record.name,
        record.state.value,
        tables_done=sum(t.state == "done" for t in tables),
        tables_total=len(tables),
        bytes_done=sent,
        bytes_total=expected,
        rows_done=sum(t.rows for t in tables),
        bytes_per_second=rate,
        eta_seconds=(expected - sent) / rate if rate and expected > sent else None,
        tables=tables,
        stream=stream,
        indexes=indexes,
    )
