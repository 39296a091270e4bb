"""Copy all rows from one snapshot, the one the stream continues."""

from __future__ import annotations

import asyncio
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.formats import Shape, shapes
from migrator.copy.relay import Copied, Relay, relay_failure
from migrator.copy.snapshot import Snapshot, drop_slot, find_slot, fresh_slot
from migrator.copy.throttle import Throttle, heeding_signals
from migrator.errors import Conflict as ConflictError
from migrator.errors import StepFailed
from migrator.events import CopyStarted, TableProgressed
from migrator.pg.catalog import Table, published_tables
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

COPIED = """
select n.nspname as schema, c.relname as name, k.slot_lsn::text as position, k.rows, k.bytes
from {schema}.copied k
join pg_catalog.pg_class c on c.oid = k.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
FORGET = "delete from {schema}.copied"
TRUNCATE = "truncate only {tables}"
SUBSCRIPTION = "select 1 from pg_catalog.pg_subscription where subname = %s"
OURS = """
select t.schema, t.name
from unnest(%s::text[], %s::text[]) as t (schema, name)
where not exists (
    select
    from {schema}.made m
    join pg_catalog.pg_class c on m.class = 'pg_catalog.pg_class'::regclass and c.oid = m.object
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where n.nspname = t.schema and c.relname = t.name
)
"""
TELL_EVERY = 0.2


class CopyTables(Step):
    """Copy all rows from one snapshot, the one the stream continues.

    Changes: creates replication slot ``migrator_…`` on the source and fills the published tables on
    the destination with what the slot's snapshot sees, ``[copy] jobs`` at a time, largest first; each
    table is truncated, filled (frozen) and recorded in one transaction.
    Recognised by: our slot on the source, and on the destination a record of each published table
    that carries the slot's position.
    Locks and cost: ``access share`` on the tables being copied, and a snapshot that holds back vacuum on
    the source until the end; the slot keeps WAL from its creation on. ``[copy] max_bytes_per_second``
    slows it down; SIGUSR1 pauses it with its connections open, SIGUSR2 goes on.
    If it fails: the snapshot is gone with its connection; the next run truncates what was copied and
    begins again from a fresh slot, and says so.
    Undo: drops the slot and empties the tables.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the published tables with those recorded as copied from the slot's snapshot."""
        slot = find_slot(ctx)
        if slot is not None and not slot.ours:
            return Conflict(
                f"the source has a replication slot {ctx.names.slot} that migrator did not record",
                "drop it (pg_drop_replication_slot), or give the migration another name",
            )
        rows = Registry(ctx.destination, ctx.names).rows(COPIED)
        if slot is None:
            return Partial("rows are copied and their slot is gone") if rows else Absent()
        if slot.lost:
            return Partial("the slot has lost WAL that the stream needs")
        copied = {(r.schema, r.name) for r in rows if r.position == slot.created_at}
        wanted = {(t.schema, t.name) for t in published_tables(ctx.source, ctx.names)}
        if not slot.created_at or wanted - copied:
            return Partial(f"{len(copied & wanted)} of {len(wanted)} tables are copied")
        return Done(
            {
                "tables": len(wanted),
                "rows": sum(r.rows for r in rows),
                "bytes": sum(r.bytes for r in rows),
                "position": slot.created_at,
            }
        )

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Begin from a fresh slot and copy everything."""
        tables = published_tables(ctx.source, ctx.names)
        self._refuse_others(ctx, tables)
        if isinstance(found, Partial):
            self._begin_again(ctx, found, tables)
        ctx.emit(CopyStarted(tuple((t.label, t.bytes) for t in tables)))
        with fresh_slot(ctx, tables) as snapshot:
            forms = shapes(ctx.source, tables)
            try:
                asyncio.run(_copy_all(ctx, tables, forms, snapshot))
            except (Exception, BaseExceptionGroup) as error:
                raise relay_failure(error) from error

    def undo(self, ctx: WriteContext) -> None:
        """Drop the slot, then empty what was filled."""
        drop_slot(ctx)
        self._empty(ctx)

    def _begin_again(self, ctx: WriteContext, found: Partial, tables: list[Table]) -> None:
        if ctx.destination.value(SUBSCRIPTION, [ctx.names.subscription]):
            raise StepFailed(
                f"the copy cannot be repaired under a live subscription: {found.what}",
                hint="migrator rollback-to schema_copied, then migrator advance",
            )
        ctx.note(
            f"{found.what}; its snapshot is gone, so the copy of {len(tables)} tables begins again "
            "from a fresh slot"
        )
        drop_slot(ctx)
        self._empty(ctx)

    def _empty(self, ctx: WriteContext) -> None:
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        filled = [sql.Identifier(r.schema, r.name) for r in registry.rows(COPIED)]
        with session.transaction():
            if filled:
                session.run(sql.SQL(TRUNCATE).format(tables=sql.SQL(", only ").join(filled)))
            if registry.is_ours():
                registry.run(FORGET)
                registry.forget(streams.POSITION_EVENT)

    def _refuse_others(self, ctx: WriteContext, tables: list[Table]) -> None:
        registry = Registry(ctx.destination, ctx.names)
        others = registry.rows(OURS, [[t.schema for t in tables], [t.name for t in tables]])
        if others:
            raise ConflictError(
                "these published tables are not on the destination, or were not made there by migrator: "
                + ", ".join(f"{r.schema}.{r.name}" for r in others[:10]),
                hint="migrator rollback-to planned, then migrator advance",
            )


async def _copy_all(
    ctx: WriteContext, tables: list[Table], forms: dict[int, Shape], snapshot: Snapshot
) -> None:
    waiting = deque(sorted(tables, key=lambda t: t.bytes, reverse=True))
    throttle = Throttle(ctx.config.copy.max_bytes_per_second)
    meter = Meter(ctx, sum(t.bytes for t in tables))

    async def work() -> None:
        relay = await Relay.open(ctx.write_source, ctx.write_destination, ctx.names, throttle)
        try:
            while waiting:
                table = waiting.popleft()
                meter.begin(table)
                copied = await relay.copy(table, forms[table.oid], snapshot, partial(meter.sent, table))
                meter.end(table, copied)
        finally:
            await relay.close()

    # The first failure cancels the others: a TaskGroup ends only when all of them have ended.
    with heeding_signals(throttle, ctx.note):
        async with asyncio.TaskGroup() as group:
            for _ in range(min(ctx.config.copy.jobs, len(tables))):
                group.create_task(work())


class Meter:
    """Tell what was really sent, a few times a second; estimates give way to facts table by table."""

    def __init__(self, ctx: WriteContext, expected: int) -> None:
        self.ctx = ctx
        self.expected = expected
        self.finished = 0
        self.under_way: dict[int, int] = {}
        self.told: dict[int, float] = {}

    def begin(self, table: Table) -> None:
        """Start a table."""
        self.under_way[table.oid] = 0
        self.ctx.emit(TableProgressed(table.label, "started", 0, 0, table.bytes))

    def sent(self, table: Table, size: int) -> None:
        """Take note that ``size`` bytes of the table are sent so far."""
        self.under_way[table.oid] = size
        if self.ctx.now() - self.told.get(table.oid, 0.0) < TELL_EVERY:
            return
        self.told[table.oid] = self.ctx.now()
        self._tell(table)
        self.ctx.emit(TableProgressed(table.label, "copying", 0, size, table.bytes))

    def end(self, table: Table, copied: Copied) -> None:
        """Finish the table."""
        del self.under_way[table.oid]
        self.finished += copied.bytes
        self.expected += copied.bytes - table.bytes
        self._tell(table)
        self.ctx.emit(TableProgressed(table.label, "copied", copied.rows, copied.bytes, table.bytes))

    def _tell(self, table: Table) -> None:
        done = self.finished + sum(self.under_way.values())
        self.ctx.progress(done, max(self.expected, done), "bytes", table.label)
