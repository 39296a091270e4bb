"""Publish the tables on the source, divided over the streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg import publication
from migrator.pg.catalog import Table, published_tables, wanted_tables
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover.division import divide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.names import Stream


class CreatePublication(Step):
    """Publish the tables on the source, divided over the streams.

    Changes: creates publication ``migrator_…`` with an explicit list: the heartbeat, and every
    permanent table that ``[tables]`` takes in (of a partitioned table, its leaves); nothing that an
    extension owns, no unlogged or temporary table. With ``[replication] streams`` above 1 as many
    publications (``migrator_…_2`` and so on), each with its share of the tables and a heartbeat of its
    own: tables that foreign keys or a common root hold together stay together (unless ``split_tied``),
    the largest group first, each to the stream that has least.
    Recognised by: a publication of our name with our mark.
    Locks and cost: ``share update exclusive`` on each table, which readers and writers do not feel.
    If it fails: nothing is there; run the same command again. A table whose UPDATE and DELETE would
    fail once it is published is refused before, with the SQL that fixes it.
    Undo: drops the publications; the heartbeats go with our schema.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the publications and their marks."""
        theirs = publication.in_the_way(ctx.source, ctx.names)
        if theirs:
            return Conflict(
                f"the source has a publication {theirs} without our mark",
                "rename or drop it, or give the migration another name",
            )
        streams = publication.published_streams(ctx.source, ctx.names)
        if not streams:
            return Absent()
        tables = len(published_tables(ctx.source, ctx.names, sizes=False))
        return Done({"tables": tables} | ({"streams": len(streams)} if len(streams) > 1 else {}))

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell each publication with its tables."""
        tables = wanted_tables(ctx.source, ctx.config.tables, sizes=True)
        for stream, share in self._shares(ctx, tables).items():
            for statement in publication.creation(ctx.names, stream, self._listed(ctx, stream, share)):
                yield Statement("source", statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create and mark the publications in one transaction, when their heartbeats are ready for them."""
        tables = wanted_tables(ctx.source, ctx.config.tables, sizes=True)
        publication.refuse_unidentified(tables)
        shares = self._shares(ctx, tables)
        wanted, made = ctx.config.replication.streams, len(shares)
        if made < wanted:
            ctx.note(
                f"{wanted} streams are wanted and the tables make {made} groups that foreign keys or a "
                f"common root hold together: there will be {made}"
            )
        destination = WritableRegistry(ctx.write_destination, ctx.names)
        with ctx.write_destination.transaction():
            for stream in shares:
                destination.add_heartbeat(stream)
        session = ctx.write_source
        registry = WritableRegistry(session, ctx.names)
        with session.bounded(ctx.config.copy.lock_timeout), session.transaction():
            for stream, share in shares.items():
                registry.add_heartbeat(stream)
                publication.create(session, ctx.names, stream, self._listed(ctx, stream, share))
            registry.record(publication.STREAMS_EVENT, {"wanted": ctx.config.replication.streams})

    def undo(self, ctx: WriteContext) -> None:
        """Drop the publications that are ours."""
        publication.drop(ctx.write_source, ctx.names)
        registry = WritableRegistry(ctx.write_source, ctx.names)
        if registry.is_ours():
            registry.forget(publication.STREAMS_EVENT)

    def _listed(self, ctx: ReadContext, stream: Stream, share: list[Table]) -> list[sql.Identifier]:
        return [sql.Identifier(ctx.names.schema, stream.heartbeat), *(t.identifier for t in share)]

    def _shares(self, ctx: ReadContext, tables: list[Table]) -> dict[Stream, list[Table]]:
        wanted = ctx.config.replication.streams
        ties = [] if ctx.config.replication.split_tied else publication.ties(ctx.source)
        numbers = range(1, wanted + 1)
        stream_of = divide({t.oid: t.bytes for t in tables}, ties, numbers)
        used = [n for n in numbers if n == 1 or n in stream_of.values()]
        return {ctx.names.stream(n): [t for t in tables if stream_of[t.oid] == n] for n in used}
