"""Take in the tables that the source has got since: create, publish, copy and stream them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy import copied
from migrator.copy.snapshot import later_snapshot
from migrator.copy.transfer import transfer
from migrator.errors import SourceProtected, StepFailed
from migrator.events import CopyStarted
from migrator.pg import made, publication
from migrator.pg.catalog import Table, all_tables, published_tables, registries, wanted_tables
from migrator.pg.dump import SchemaDump, dump_schema
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import streams, subscribing
from migrator.switchover.division import divide

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

ADD = "alter publication {name} add table {tables}"
# A transaction that wrote to a table before it was added, and ended later, leaves the stream with what it
# knew of the publication then: all changes of the table would be passed over. So do servers before 13, and
# older releases of others (checks/server_versions.py). When such transactions have ended, a change of the
# list has the stream read it again; of our own heartbeat, in one transaction, it changes nothing.
RENEW = ("alter publication {name} drop table {heartbeat}", "alter publication {name} add table {heartbeat}")
# As a table is entered that was copied at a position of its own (documentation 52.55): the stream carries
# what was committed from there on. ``refresh publication`` would have it carry all it has kept.
SUBSCRIBE = """
insert into pg_catalog.pg_subscription_rel (srsubid, srrelid, srsubstate, srsublsn)
select s.oid, c.oid, 's', t.position
from unnest(%s::text[], %s::text[], %s::text[], %s::pg_lsn[]) as t (schema, name, subscription, position)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
join pg_catalog.pg_subscription s on s.subname = t.subscription
"""
ATTACH = "TABLE ATTACH"
# Whose undo takes away what is made here.
SCHEMA_OF, POST_DATA = "restore_pre_data", "post_data"


class TakeInTables(Step):
    """Take in the tables that the source has got since: create, publish, copy and stream them.

    Changes: creates the missing tables (with the sequences that they own) on the destination as
    ``pg_dump`` writes them, adds to our publication those that ``[tables]`` takes in (of several to that of
    the tables they are tied to, or else to the least loaded), copies their rows
    and builds their indexes, and has the stream carry each from its own snapshot on. Our heartbeat leaves
    the publication and comes back in one transaction, so that the stream reads the list again. The steps
    that follow add the rest.
    Recognised by: every table of the source is on the destination, every one that ``[tables]`` takes in
    is published and subscribed.
    Locks and cost: ``share update exclusive`` on the new tables of the source for an instant. The stream
    stands still while the new tables are copied, and the source keeps WAL for it.
    If it fails: run the same command again; a table that the stream does not carry yet is copied anew.
    Undo: with the steps that made the other tables.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the source's tables with the destination's, the publication's and the subscription's."""
        missing, new = [*self._missing(ctx), *self._unattached(ctx)], self._unsubscribed(ctx)
        if not missing and not new and not streams.disabled(ctx) and streams.find_subscriptions(ctx):
            return Done({"tables": 0})
        names = {t.label for t in (*missing, *new)}
        return Partial(f"not in: {', '.join(sorted(names)[:10])}" if names else "the stream is disabled")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Stop the stream, take the tables in, and start it again where it stood."""
        self._create(ctx, self._missing(ctx))
        new = self._unsubscribed(ctx)
        publication.refuse_unidentified(new)
        # From the new tables' snapshot on the stream must not pass a change of theirs.
        streams.disable(ctx)
        try:
            self._take_in(ctx, new)
        except SourceProtected as error:
            streams.enable(ctx)
            raise StepFailed(
                f"the source keeps too much WAL while the stream stands still ({error.message}); the stream "
                "goes on without the new tables",
                hint="raise copy.max_retained_wal, then migrator refresh",
            ) from error
        streams.enable(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: what is made here is recorded as made by the steps that made the other tables."""

    def _take_in(self, ctx: WriteContext, new: list[Table]) -> None:
        if new:
            self._publish(ctx, new)
            copied.empty(ctx, new)
            ctx.emit(CopyStarted(tuple((t.label, t.bytes) for t in new), resumed=True))
            with later_snapshot(ctx, new):
                # Whoever ran when they were added has ended.
                self._renew(ctx)
            with later_snapshot(ctx, new) as snapshot:
                transfer(ctx, new, snapshot, attach=False)
        self._attach(ctx, self._unattached(ctx))
        if new:
            carried = publication.carried_by(ctx.source, ctx.names)
            ctx.write_destination.execute(
                SUBSCRIBE,
                [
                    [t.schema for t in new],
                    [t.name for t in new],
                    [ctx.names.stream(carried[t.oid]).subscription for t in new],
                    [snapshot.position for _ in new],
                ],
            )

    def _renew(self, ctx: WriteContext) -> None:
        stream = publication.published_streams(ctx.source, ctx.names)[0]
        heartbeat = publication.only([sql.Identifier(ctx.names.schema, stream.heartbeat)])
        with ctx.write_source.transaction():
            for statement in RENEW:
                name = sql.Identifier(stream.publication)
                ctx.write_source.run(sql.SQL(statement).format(name=name, heartbeat=heartbeat))

    def _missing(self, ctx: ReadContext) -> list[Table]:
        have = {(t.schema, t.name) for t in all_tables(ctx.destination)}
        return [t for t in all_tables(ctx.source) if (t.schema, t.name) not in have]

    def _unsubscribed(self, ctx: ReadContext) -> list[Table]:
        have = subscribing.subscribed(ctx.destination, *ctx.names.streams)
        wanted = wanted_tables(ctx.source, ctx.config.tables, sizes=True)
        return [t for t in wanted if (t.schema, t.name) not in have]

    def _unattached(self, ctx: ReadContext) -> list[Table]:
        apart = {(t.schema, t.name) for t in all_tables(ctx.destination) if not t.is_partition}
        return [t for t in all_tables(ctx.source) if t.is_partition and (t.schema, t.name) in apart]

    def _dump(self, ctx: ReadContext, tables: list[Table]) -> SchemaDump:
        others = registries(ctx.source)
        return dump_schema(
            ctx.source_server, ctx.destination_server, ctx.names, "pre-data", others, only=tables
        )

    def _attach(self, ctx: WriteContext, tables: list[Table]) -> None:
        # Not when they are created: a partition that comes without indexes is given some at once, and of
        # its own it would have them twice. With its own it joins its root, index by index.
        if not tables:
            return
        dump = self._dump(ctx, tables)
        with ctx.write_destination.transaction():
            ctx.write_destination.script(dump.preamble)
            for entry in dump.entries:
                if entry.kind == ATTACH:
                    ctx.write_destination.script(entry.sql)

    def _create(self, ctx: WriteContext, tables: list[Table]) -> None:
        if not tables:
            return
        dump = self._dump(ctx, tables)
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        with ctx.write_destination.transaction():
            before = made.standing(registry)
            ctx.write_destination.script(dump.preamble)
            for entry in dump.entries:
                if entry.kind != ATTACH:
                    ctx.write_destination.script(entry.sql)
            made.record_standing(registry, SCHEMA_OF, before)
            # Their triggers, rules and policies are still to come.
            registry.forget(POST_DATA)
        left = self._missing(ctx)
        if left:
            raise StepFailed(
                f"tables were not created on the destination: {', '.join(t.label for t in left[:10])}",
                hint="migrator refresh",
            )

    def _publish(self, ctx: WriteContext, tables: list[Table]) -> None:
        carried = publication.carried_by(ctx.source, ctx.names)
        new = [t for t in tables if t.oid not in carried]
        sizes = {t.oid: t.bytes for t in (*published_tables(ctx.source, ctx.names), *new)}
        ties = [] if ctx.config.replication.split_tied else publication.ties(ctx.source)
        there = publication.published_streams(ctx.source, ctx.names)
        placed = {oid: number for oid, number in carried.items() if oid in sizes}
        stream_of = divide(sizes, ties, [s.number for s in there], placed)
        with ctx.write_source.bounded(ctx.config.copy.lock_timeout), ctx.write_source.transaction():
            for stream in there:
                add = [t.identifier for t in new if stream_of[t.oid] == stream.number]
                if add:
                    name = sql.Identifier(stream.publication)
                    ctx.write_source.run(sql.SQL(ADD).format(name=name, tables=publication.only(add)))
