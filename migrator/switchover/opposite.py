"""The opposite stream: from the side that is to take the writes back to the one that gives them away.

It is prepared while writes go on: a publication of the same tables on the destination and, on the source,
a disabled subscription to it, whose creation proves that the source reaches the destination. Its slot is
created inside the fence, when both sides are equal and still: the stream begins empty, so nothing that came
by the one goes back by the other, on any version. It starts when the switchover is committed.

The names are those of the forward stream: what is a publication here is a subscription there. On a
mirrored context the opposite stream is the forward one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy import snapshot
from migrator.errors import Conflict, StatementFailed, TimedOut
from migrator.pg import publication
from migrator.pg.activity import name_writers
from migrator.pg.registry import Registry, WritableRegistry
from migrator.switchover import streams, subscribing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.names import Stream

REPUBLISH = "alter publication {name} set table {tables}"
CREATE_SLOT = "select pg_catalog.pg_create_logical_replication_slot(%s, 'pgoutput')"
SLOTS = """
select slot_name::text as name
from pg_catalog.pg_replication_slots
where slot_name = any (%s)
  and database = current_database()
"""
STATEMENT_TIMEOUT = "select pg_catalog.set_config('statement_timeout', %s, false)"


def is_anything(ctx: ReadContext) -> bool:
    """Return whether any of the opposite stream is there."""
    back = ctx.mirrored()
    return bool(streams.find_subscriptions(back) or publication.published_streams(ctx.destination, ctx.names))


def missing(ctx: ReadContext) -> list[str]:
    """Say what of the opposite stream is not prepared; an empty list when all is."""
    back = ctx.mirrored()
    found = {s.stream: s for s in streams.find_subscriptions(back)}
    why = []
    for stream in publication.published_streams(ctx.source, ctx.names):
        if publication.listed(ctx.source, stream) != publication.listed(ctx.destination, stream):
            why.append(f"publication {stream.publication} on the {ctx.destination.side}")
        elif stream not in found:
            why.append(f"subscription {stream.subscription} on the {ctx.source.side}")
    return why


def in_the_way(ctx: ReadContext) -> str:
    """Name what stands under our names and does not carry our mark, or return nothing."""
    publications = publication.in_the_way(ctx.destination, ctx.names)
    if publications:
        return f"publication {publications} on the {ctx.destination.side}"
    subscriptions = streams.unmarked(streams.find_subscriptions(ctx.mirrored()))
    return f"subscription {subscriptions} on the {ctx.source.side}" if subscriptions else ""


def prepare(ctx: WriteContext) -> None:
    """Publish on the destination what the source publishes, and subscribe the source to it, disabled."""
    back = ctx.mirrored()
    found = {s.stream for s in streams.find_subscriptions(back)}
    for stream in publication.published_streams(ctx.source, ctx.names):
        if publication.listed(ctx.source, stream) != publication.listed(ctx.destination, stream):
            _publish(ctx, stream)
        if stream not in found:
            with ctx.write_source.transaction():
                subscribing.create(back, ctx.write_source, stream)
        elif publication.listed(ctx.source, stream) != subscribing.subscribed(ctx.source, stream):
            subscribing.refresh(back, ctx.write_source, stream)


def preparation(ctx: ReadContext) -> Iterator[tuple[str, sql.Composed]]:
    """Yield side and statement of what ``prepare`` would create; a password that is needed is not told."""
    back = ctx.mirrored()
    found = {s.stream for s in streams.find_subscriptions(back)}
    there = publication.published_streams(ctx.destination, ctx.names)
    for stream in publication.published_streams(ctx.source, ctx.names):
        if stream not in there:
            listed = [sql.Identifier(*table) for table in sorted(publication.listed(ctx.source, stream))]
            for statement in publication.creation(ctx.names, stream, listed):
                yield ctx.destination.side, statement
        if stream not in found:
            for statement in subscribing.creation(back, stream, masked=True):
                yield ctx.source.side, statement


def drop(ctx: WriteContext) -> None:
    """Drop the opposite stream: its subscription on the source, slot and publication on the destination."""
    back = ctx.mirrored()
    streams.drop(back)
    streams.drop_left_origins(back)
    streams.forget_positions(back)
    drop_slots(ctx, forget=True)
    publication.drop(ctx.write_destination, ctx.names)


def is_live(ctx: ReadContext) -> bool:
    """Return whether the opposite stream runs and the one that ended with the switchover is gone."""
    found = [s for s in streams.find_subscriptions(ctx.mirrored()) if s.ours]
    return all(s.enabled for s in found) and not left_slots(ctx)


def begin(ctx: WriteContext) -> None:
    """Start the opposite stream, and drop the slots of the one that ended with the switchover."""
    streams.enable(ctx.mirrored())
    drop_old_slots(ctx)


def await_slots(ctx: WriteContext) -> list[Stream]:
    """Write down that the opposite stream's slots are to come, and drop any that are left; return whose.

    What is written before stays true when they do not come: a slot that is not there is dropped.
    """
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    wanted = [s.stream for s in streams.find_subscriptions(ctx.mirrored()) if s.ours]
    drop_slots(ctx)
    for stream in wanted:
        # What was copied from the first one is found by its position, which stays on record.
        record = registry.read(stream.event(snapshot.EVENT)) or {"name": stream.slot}
        registry.record(stream.event(snapshot.EVENT), {**record, "dropped": False})
    return wanted


def create_awaited(ctx: WriteContext, wanted: Sequence[Stream], *, timeout: float) -> None:
    """Create the slots that were awaited, at this very moment.

    Raises TimedOut after ``timeout`` seconds: creation waits for open transactions of that cluster.
    """
    if not wanted:
        return
    session = ctx.write_destination
    try:
        # One transaction, whose failure takes the timeout back as well.
        with session.together():
            session.execute(STATEMENT_TIMEOUT, [str(int(timeout * 1000))])
            for stream in wanted:
                session.execute(CREATE_SLOT, [stream.slot])
            session.execute(STATEMENT_TIMEOUT, ["0"])
    except (TimedOut, StatementFailed) as error:
        if isinstance(error, StatementFailed) and error.sqlstate != "57014":
            raise
        raise TimedOut(
            f"the slot of the opposite stream was not to be had within {timeout:.1f} s; open transactions "
            f"on the {session.side}: {name_writers(session) or 'one that has just ended'}",
            hint="end them, then the same command",
        ) from error


def drop_slots(ctx: WriteContext, *, forget: bool = False) -> None:
    """Drop the opposite stream's slots on the destination; what was copied from them stays on record."""
    snapshot.drop_slots(ctx.mirrored(), forget=forget)


def drop_old_slots(ctx: WriteContext) -> None:
    """Drop the slots of the stream that ended with the switchover, which keep WAL on the source."""
    snapshot.drop_slots(ctx, forget=False)


def left_slots(ctx: ReadContext) -> set[str]:
    """Return the slots of the stream that leads from the source: there still, or not on record as dropped."""
    found = ctx.source.rows(SLOTS, [[s.slot for s in ctx.names.streams]])
    records = Registry(ctx.source, ctx.names).read_some([s.event(snapshot.EVENT) for s in ctx.names.streams])
    recorded = {record["name"] for record in records.values() if not record.get("dropped")}
    return {row.name for row in found} | recorded


def _publish(ctx: WriteContext, stream: Stream) -> None:
    session = ctx.write_destination
    tables = [sql.Identifier(*table) for table in sorted(publication.listed(ctx.source, stream))]
    if publication.in_the_way(session, ctx.names):
        raise Conflict(f"{in_the_way(ctx)} does not carry our mark", hint="drop it, then the same command")
    there = stream in publication.published_streams(session, ctx.names)
    with session.bounded(ctx.config.copy.lock_timeout), session.transaction():
        if there:
            name = sql.Identifier(stream.publication)
            session.run(sql.SQL(REPUBLISH).format(name=name, tables=publication.only(tables)))
        else:
            publication.create(session, ctx.names, stream, tables)
