"""Copy a table of the side that follows again as a whole, while the stream goes on with all others.

All in one transaction of the subscriber, so that a run that is cut short leaves everything as it was:

- The table is locked, so that the stream's worker waits before it applies a change of this table.
- The workers are ended and come again by themselves: one that has come since the lock knows nothing yet of
  this table, and reads how it stands with it when it gets its own lock, after our commit.
- A slot of the moment gives a snapshot of the publisher, whose position comes after all that the subscriber
  has of the table. Its rows are copied, and the table is entered as copied at that position (documentation
  52.55): of this table the stream then skips what was committed before it, and carries on from there.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.formats import shapes
from migrator.copy.protection import guard, sample_source
from migrator.copy.snapshot import later_snapshot
from migrator.copy.unlogged import refill
from migrator.errors import StepFailed
from migrator.pg.activity import name_holders
from migrator.pg.catalog import all_tables, label, published_tables
from migrator.pg.patience import patiently
from migrator.pg.registry import WritableRegistry
from migrator.pg.session import ReadSession
from migrator.switchover import fence, streams

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import WriteContext
    from migrator.pg.catalog import Table

# As emptying it takes, from the beginning.
LOCK = "lock table only {table} in access exclusive mode"
WORKERS = """
select a.pid
from pg_catalog.pg_stat_subscription s
join pg_catalog.pg_stat_activity a on a.pid = s.pid
where s.subid = any (%s::oid[])
"""
LEFT = "select exists (select from pg_catalog.pg_stat_activity where pid = any (%s)) as some"
BEGIN = "begin isolation level repeatable read read only"
IMPORT = "set transaction snapshot {snapshot}"
SHARE = "lock table only {table} in access share mode"
CONTINUE_AT = """
update pg_catalog.pg_subscription_rel
set srsubstate = 's',
    srsublsn = %s::pg_lsn
where srrelid = %s
  and srsubid = any (%s::oid[])
"""
# Where the stream is made anew, it is to begin with this table there, too.
COPIED_AT = "update {schema}.copied set position = %s::pg_lsn where relation = %s"
WATCH_EVERY = 2.0


def recopy(ctx: WriteContext, name: tuple[str, str], done: Callable[[int], None]) -> int:
    """Copy a table of the context's destination again from its source; return how many rows it has.

    ``done`` is told how many bytes are in. Raises TimedOut when the table's lock or a snapshot is not to be
    had in time, SourceProtected when the slot keeps too much meanwhile; nothing is changed then.
    """
    there = _only(published_tables(ctx.source, ctx.names), name, ctx.source)
    here = _only(all_tables(ctx.destination), name, ctx.destination)
    session, rows = ctx.write_destination, list[int]()

    def copy() -> None:
        with session.transaction(), fence.lifted(session, ctx.names):
            session.run(sql.SQL(LOCK).format(table=here.identifier))
            rows.append(_copy(ctx, there, here, done))

    with session.bounded(ctx.config.copy.lock_timeout):
        patiently(
            copy,
            ctx.sleep,
            what=f"copying {here.label} again",
            attempts=ctx.config.copy.lock_attempts,
            explain=partial(name_holders, session, ctx.names, [here.oid], readers=True),
        )
    return rows[-1]


def _copy(ctx: WriteContext, there: Table, here: Table, done: Callable[[int], None]) -> int:
    session = ctx.write_destination
    subscriptions = [s.oid for s in streams.find_subscriptions(ctx) if s.ours]
    _end_workers(ctx, subscriptions)
    conninfo, application = ctx.source_server.conninfo, ctx.names.application
    with (
        ReadSession.open(conninfo, side=ctx.source.side, application=application) as reading,
        later_snapshot(ctx, [there]) as snapshot,
    ):
        reading.execute(BEGIN)
        reading.execute(sql.SQL(IMPORT).format(snapshot=sql.Literal(snapshot.identifier)))
        reading.execute(sql.SQL(SHARE).format(table=there.identifier))
        snapshot.require_unchanged(there)
        forms = shapes(reading, [there])
        (carried,) = refill(reading, session, [(there, here)], forms, _watched(ctx, done))
    if session.run(CONTINUE_AT, [snapshot.position, here.oid, subscriptions]) != 1:
        raise StepFailed(
            f"no stream of ours carries {here.label} to the {session.side}", hint="migrator status"
        )
    registry = WritableRegistry(session, ctx.names)
    registry.run(COPIED_AT, [snapshot.position, here.oid])
    return carried.rows


def _end_workers(ctx: WriteContext, subscriptions: list[int]) -> None:
    pids = [row.pid for row in ctx.destination.rows(WORKERS, [subscriptions])]
    ctx.write_destination.execute(streams.END, [subscriptions])
    ctx.wait_until(
        lambda: not ctx.destination.value(LEFT, [pids]),
        what="the stream's worker to begin anew",
        timeout=15,
        interval=0.01,
    )


def _watched(ctx: WriteContext, done: Callable[[int], None]) -> Callable[[int], None]:
    """Tell how much is in, and give up before the source keeps too much for the stream that waits."""
    total, watched = 0, ctx.now()

    def sent(size: int) -> None:
        nonlocal total, watched
        total += size
        if ctx.now() - watched > WATCH_EVERY:
            watched = ctx.now()
            done(total)
            guard(ctx, sample_source(ctx))

    return sent


def _only(tables: list[Table], name: tuple[str, str], session: ReadSession) -> Table:
    for table in tables:
        if (table.schema, table.name) == name:
            return table
    raise StepFailed(f"the {session.side} does not stream {label(*name)}", hint="migrator status")
