"""Copy all rows from one snapshot, the one the stream continues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy import copied, foreign_keys, indexes, statistics
from migrator.copy.snapshot import creation, drop_slots, find_slots, fresh_slots, later_snapshot, useless
from migrator.copy.transfer import transfer
from migrator.errors import Conflict as ConflictError
from migrator.errors import SnapshotLost, SourceProtected, StepFailed
from migrator.events import CopyStarted
from migrator.pg.catalog import Table, published_tables
from migrator.pg.made import drop_made
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import gates, streams

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

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


class CopyTables(Step):
    """Copy all rows from one snapshot, the one the stream continues.

    Changes: creates replication slot ``migrator_…`` on the source (one for each stream; the first one's
    snapshot counts) and fills the published tables on the destination with what the snapshot sees,
    ``[copy] jobs`` at a time, those with the most work behind them first. A table is truncated, filled
    (frozen) and recorded in one transaction; one above ``[copy] split_above`` comes in pieces, each a
    transaction of its own. The indexes of a table are built as soon as its rows are in, its statistics
    gathered after them, and foreign keys added as soon as both tables have come so far, ``[copy]
    index_jobs`` at a time.
    Recognised by: our slot on the source, and on the destination a record of each published table, all
    its pieces of one snapshot, not older than the slot.
    Locks and cost: ``access share`` on the tables being copied, and a snapshot that holds back vacuum on
    the source until the end; the slot keeps WAL from its creation on. ``[copy] max_bytes_per_second``
    slows it down; SIGUSR1 pauses it with its connections open, SIGUSR2 goes on.
    If it fails: tables that are in stay. The snapshot is gone with its connection; the next run copies
    what is missing from a later one, and the stream will carry each table from its own snapshot on. A
    connection that broke is made anew. When the slot is lost, or given up because it kept more WAL than
    ``[copy] max_retained_wal``, the copy begins again.
    Undo: drops the slot, the foreign keys and the indexes, and empties the tables.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the published tables with those recorded as copied since the slot was made."""
        slots = find_slots(ctx)
        theirs = ", ".join(s.stream.slot for s in slots if not s.ours)
        if theirs:
            return Conflict(
                f"the source has a replication slot {theirs} that migrator did not record",
                "drop it (pg_drop_replication_slot), or give the migration another name",
            )
        if not slots:
            rest = copied.is_anything(ctx)
            return Partial("rows are copied and their slot is gone") if rest else Absent()
        why = useless(ctx, slots)
        if why:
            return Partial(why)
        position = slots[0].created_at
        whole = copied.whole(ctx, position)
        wanted = {(t.schema, t.name) for t in published_tables(ctx.source, ctx.names)}
        if wanted - whole.keys():
            return Partial(f"{len(whole.keys() & wanted)} of {len(wanted)} tables are copied")
        return Done(
            {
                "tables": len(wanted),
                "rows": sum(whole[t].rows for t in wanted),
                "bytes": sum(whole[t].bytes for t in wanted),
                "position": position,
            }
        )

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the slots, and which tables are emptied and filled."""
        if not find_slots(ctx):
            for statement in creation(ctx).values():
                yield Statement("source", statement.as_string())
        for table in published_tables(ctx.source, ctx.names, sizes=False):
            name = table.identifier.as_string()
            yield Statement("destination", f"truncate only {name}; copy {name} from stdin (freeze)")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Copy what is not in: from the slot's snapshot, or from a later one when the slot is older.

        Raises SourceProtected when the slot keeps too much WAL; it is given up then.
        """
        try:
            try:
                self._copy(ctx, found)
            except SnapshotLost as error:
                ctx.note(error.message)
                self._copy(ctx, Partial("the snapshot is lost"))
        except SourceProtected:
            drop_slots(ctx)
            raise

    def _copy(self, ctx: WriteContext, found: Absent | Partial) -> None:
        tables = published_tables(ctx.source, ctx.names)
        self._refuse_others(ctx, tables)
        changed = list(gates.columns_are_equal(ctx))
        if changed:
            raise StepFailed("; ".join(changed), hint=gates.CHANGED_HINT)
        if isinstance(found, Partial) and streams.find_subscriptions(ctx):
            raise StepFailed(
                f"the copy cannot be repaired under a live subscription: {found.what}",
                hint="migrator rollback-to schema_copied, then migrator advance",
            )
        slots = find_slots(ctx)
        if slots and not useless(ctx, slots):
            self._go_on(ctx, slots[0].created_at, tables)
            return
        if isinstance(found, Partial):
            ctx.note(f"{found.what}; the copy of {len(tables)} tables begins again from a fresh slot")
            drop_slots(ctx)
            self._empty(ctx)
        ctx.emit(CopyStarted(tuple((t.label, t.bytes) for t in tables)))
        with fresh_slots(ctx, tables) as snapshot:
            transfer(ctx, tables, snapshot)

    def undo(self, ctx: WriteContext) -> None:
        """Drop the slots, then empty what was filled."""
        drop_slots(ctx)
        self._empty(ctx)

    def _go_on(self, ctx: WriteContext, since: str, tables: list[Table]) -> None:
        whole = copied.whole(ctx, since)
        left = [t for t in tables if (t.schema, t.name) not in whole]
        ctx.note(
            f"{len(tables) - len(left)} of {len(tables)} tables are in and stay; "
            f"{len(left)} are copied from a later snapshot"
        )
        copied.empty(ctx, left)
        ctx.emit(CopyStarted(tuple((t.label, t.bytes) for t in left), resumed=True))
        with later_snapshot(ctx, left) as snapshot:
            transfer(ctx, left, snapshot)

    def _empty(self, ctx: WriteContext) -> None:
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if not registry.is_ours():
            return
        with ctx.write_destination.transaction():
            for step in (foreign_keys.STEP, indexes.STEP):
                drop_made(registry, step)
            registry.forget(statistics.EVENT)
            copied.empty(ctx)
            streams.forget_positions(ctx)

    def _refuse_others(self, ctx: WriteContext, tables: list[Table]) -> None:
        registry = Registry(ctx.destination, ctx.names)
        others = registry.rows(OURS, [[t.schema for t in tables], [t.name for t in tables]])
        if others:
            raise ConflictError(
                "these published tables are not on the destination, or were not made there by migrator: "
                + ", ".join(f"{r.schema}.{r.name}" for r in others[:10]),
                hint="migrator rollback-to planned, then migrator advance",
            )
