"""The forward slots, and the snapshots that tables are copied from.

A slot and the snapshot it was created with are one point in the source's history: what the copy reads is
what was committed before it, what the stream carries is what is committed after it (documentation 53.4,
CREATE_REPLICATION_SLOT). The snapshot lives as long as the connection that made it and runs nothing else.

Of several streams the slots come right before the one whose snapshot is copied: what was committed between
is in the snapshot and in their streams, which skip it as with a later snapshot.

The slots outlive a crash, their snapshot does not. What is not in by then is copied from a later one, made
by a temporary slot that goes with its connection; the stream carries such a table from that later point
on (``steps/create_subscription.py``), and nobody's table is locked for it.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import StatementFailed, StepFailed, TimedOut
from migrator.pg.activity import name_writers
from migrator.pg.publication import published_streams
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.replication import ReplicationSession
from migrator.pg.storage import Storage, is_rewritten, storage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.catalog import Table
    from migrator.pg.names import Stream
    from migrator.pg.session import ReadSession

EVENT = "slot"

FIND = """
select slot_name::text as name,
       plugin::text,
       database::text,
       active_pid,
       confirmed_flush_lsn::text as position,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), restart_lsn)::bigint as retained,
       coalesce(to_jsonb(s) ->> 'wal_status', '') as wal_status
from pg_catalog.pg_replication_slots s
where slot_name = any (%s)
"""
# The form that every version since 10 understands; the replication grammar knows upper case only.
CREATE = "CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput EXPORT_SNAPSHOT"
CREATE_WITHOUT = "CREATE_REPLICATION_SLOT {name} LOGICAL pgoutput NOEXPORT_SNAPSHOT"
CREATE_TEMPORARY = "CREATE_REPLICATION_SLOT {name} TEMPORARY LOGICAL pgoutput EXPORT_SNAPSHOT"
DROP = "select pg_catalog.pg_drop_replication_slot({name})"
END_READER = "select pg_catalog.pg_terminate_backend(%s)"


@dataclass(frozen=True)
class Slot:
    """A stream's slot as the source shows it. ``created_at`` is the position it was created with."""

    stream: Stream
    created_at: str
    position: str
    active_pid: int | None
    retained_bytes: int
    wal_status: str
    ours: bool

    @property
    def lost(self) -> bool:
        """Return whether the source has thrown away WAL that the slot needs."""
        return self.wal_status == "lost"


@dataclass(frozen=True)
class Snapshot:
    """A snapshot that other sessions can take over while the slot's creator stays connected.

    ``storage`` is what the tables looked like before it; a table rewritten since is empty to it.
    """

    identifier: str
    position: str
    storage: dict[int, Storage]
    source: ReadSession

    def require_unchanged(self, table: Table) -> None:
        """Raise StepFailed when the table was rewritten since; its lock is held meanwhile."""
        now = storage(self.source, [table.oid]).get(table.oid)
        if is_rewritten(self.storage[table.oid], now, self.source.version):
            raise StepFailed(
                f"table {table.label} was rewritten (alter table) while the copy was under way: its rows "
                "are neither in the snapshot nor in the stream",
                hint="migrator advance, which begins the copy again; hold back schema changes meanwhile",
                table=table.label,
            )


def find_slots(ctx: ReadContext) -> list[Slot]:
    """Return our slots, by number. One of our names that we did not record making is not ours."""
    rows = {row.name: row for row in ctx.source.rows(FIND, [[s.slot for s in ctx.names.streams]])}
    if not rows:
        return []
    events = [stream.event(EVENT) for stream in ctx.names.streams]
    records = Registry(ctx.source, ctx.names).read_some(events)
    slots = []
    for stream in ctx.names.streams:
        row, record = rows.get(stream.slot), records.get(stream.event(EVENT))
        if row is None:
            continue
        # One that we have dropped is on record for what was copied from it; a new one is not ours.
        known = record is not None and not record.get("dropped")
        known = known and (row.plugin, row.database) == ("pgoutput", ctx.source_server.database)
        slots.append(
            Slot(
                stream=stream,
                created_at=(record or {}).get("position") or "",
                position=row.position or "",
                active_pid=row.active_pid,
                retained_bytes=row.retained or 0,
                wal_status=row.wal_status,
                ours=known,
            )
        )
    return slots


def useless(ctx: ReadContext, slots: list[Slot]) -> str:
    """Say why the stream cannot go on from these slots, or return nothing."""
    lost = [s.stream.slot for s in slots if s.lost]
    if lost:
        return f"the slot has lost WAL that the stream needs ({', '.join(lost)})"
    if not all(s.created_at for s in slots):
        return "the slot was made and nothing is copied"
    there = {s.stream.number for s in slots}
    wanted = published_streams(ctx.source, ctx.names) or [ctx.names.stream(1)]
    gone = [s.slot for s in wanted if s.number not in there]
    return f"slot {', '.join(gone)} is gone" if gone else ""


def dropping(slot: Slot) -> sql.Composed:
    """Return the statement that drops a slot."""
    return sql.SQL(DROP).format(name=slot.stream.slot)


def drop_slots(ctx: WriteContext, *, forget: bool = True) -> None:
    """Drop our slots; a reader that still holds one is ended first. Does nothing where there is none.

    What was copied from them stays on record unless it is to be forgotten.
    """

    def left() -> list[str]:
        ours = [slot for slot in find_slots(ctx) if slot.ours]
        for slot in ours:
            if slot.active_pid is not None:
                ctx.write_source.value(END_READER, [slot.active_pid])
            else:
                ctx.write_source.value(dropping(slot))
        return [slot.stream.slot for slot in ours if slot.active_pid is not None]

    ctx.wait_until(
        lambda: not left(),
        what="our replication slots to be released",
        timeout=30,
        explain=lambda: ", ".join(s.stream.slot for s in find_slots(ctx)),
    )
    registry = WritableRegistry(ctx.write_source, ctx.names)
    records = registry.read_some([stream.event(EVENT) for stream in ctx.names.streams])
    for event, record in records.items():
        if forget:
            registry.forget(event)
        elif not record.get("dropped"):
            registry.record(event, {**record, "dropped": True})


@contextmanager
def fresh_slots(ctx: WriteContext, tables: list[Table]) -> Iterator[Snapshot]:
    """Create the slots of all streams and hold the first one's snapshot until the end.

    The intent is recorded before a slot exists and its position after, so that a slot found later
    is known as ours. Creation waits for every running transaction to end: each wait is short and
    retried, and the transactions in the way are named (``lock_timeout`` bounds it; statement_timeout
    does not apply to replication commands).
    """
    registry = WritableRegistry(ctx.write_source, ctx.names)
    before = storage(ctx.source, [t.oid for t in tables])
    with _replication(ctx) as session:
        for stream, statement in creation(ctx).items():
            registry.record(stream.event(EVENT), {"name": stream.slot})
            identifier, position = _create(ctx, session, statement)
            registry.record(stream.event(EVENT), {"name": stream.slot, "position": position})
        yield Snapshot(identifier, position, before, ctx.source)


def creation(ctx: ReadContext) -> dict[Stream, sql.Composed]:
    """Return the replication commands that create the slots of all streams, in their order.

    The first one's last: the others' must reach back to its snapshot, which the next command ends.
    """
    first, *others = published_streams(ctx.source, ctx.names) or [ctx.names.stream(1)]
    texts = {**dict.fromkeys(others, CREATE_WITHOUT), first: CREATE}
    return {s: sql.SQL(text).format(name=sql.Identifier(s.slot)) for s, text in texts.items()}


@contextmanager
def later_snapshot(ctx: WriteContext, tables: list[Table]) -> Iterator[Snapshot]:
    """Give a snapshot for tables that missed the slot's own, and hold it until the end.

    Waits as ``fresh_slots`` does. Needs one more free replication slot for as long as it is held.
    """
    before = storage(ctx.source, [t.oid for t in tables])
    with _replication(ctx) as session:
        name = ctx.names.temporary_slot(session.pid)
        statement = sql.SQL(CREATE_TEMPORARY).format(name=sql.Identifier(name))
        identifier, position = _create(ctx, session, statement)
        yield Snapshot(identifier, position, before, ctx.source)


def _replication(ctx: WriteContext) -> ReplicationSession:
    return ReplicationSession.of(
        ctx.source_server.conninfo,
        side="source",
        application=ctx.names.application,
        version=ctx.source.version,
        lock_timeout=ctx.config.copy.lock_timeout,
    )


def _create(ctx: WriteContext, session: ReplicationSession, statement: sql.Composed) -> tuple[str, str]:
    attempts = ctx.config.copy.lock_attempts
    for attempt in range(1, attempts + 1):
        try:
            row = session.row(statement)
        except StatementFailed as error:
            if error.sqlstate != "55P03":
                raise
            blockers = name_writers(ctx.source) or "a transaction that has just ended"
            if attempt == attempts:
                raise TimedOut(
                    "the slot cannot be created while these transactions are open: " + blockers,
                    hint="end them (pg_terminate_backend), then migrator advance",
                ) from error
            ctx.note(f"waiting for open transactions to end before the snapshot: {blockers}")
            continue
        if row is None:
            break
        return str(row[2]), str(row[1])
    raise StatementFailed("source: creating the slot answered nothing", hint="migrator advance")
