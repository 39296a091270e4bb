"""The forward streams: what their subscriptions show, how to start them, stop them and take them away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.names import Stream

# Where a stream stood when its subscription was dropped; the next one begins there.
POSITION_EVENT = "stream_position"
# Which origin went with the dropped subscription.
DROPPED_EVENT = "subscription_dropped"

FIND = """
select s.oid,
       s.subname::text as name,
       s.subenabled as enabled,
       pg_catalog.obj_description(s.oid, 'pg_subscription') as mark,
       (select count(*) from pg_catalog.pg_subscription_rel r where r.srsubid = s.oid) as tables,
       (select count(*)
        from pg_catalog.pg_subscription_rel r
        where r.srsubid = s.oid and r.srsubstate not in ('r', 's')) as unready,
       (select min(a.pid)
        from pg_catalog.pg_stat_subscription a
        where a.subid = s.oid and a.relid is null) as worker
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = current_database()
  and s.subname = any (%s)
"""
ENABLE = "alter subscription {name} enable"
DISABLE = "alter subscription {name} disable"
DETACH = "alter subscription {name} set (slot_name = none)"
DROP = "drop subscription {name}"
END = """
select pg_catalog.pg_terminate_backend(pid)
from pg_catalog.pg_stat_subscription
where subid = any (%s::oid[]) and pid is not null
"""
WORKING = """
select exists (
    select
    from pg_catalog.pg_stat_subscription
    where subid = any (%s::oid[]) and pid is not null
)
"""
ORIGINS = "select roname from pg_catalog.pg_replication_origin where roname = any (%s) order by 1"
DROP_ORIGIN = "select pg_catalog.pg_replication_origin_drop(%s)"
POSITION = "select pg_catalog.pg_replication_origin_progress('pg_' || %s, true)::text"
APPLY_ERRORS = """
select (to_jsonb(s) ->> 'apply_error_count')::bigint
from pg_catalog.pg_stat_subscription_stats s
where s.subid = %s
"""
READERS = """
select slot_name::text as slot
from pg_catalog.pg_replication_slots
where slot_name = any (%s) and active_pid is not null
"""


@dataclass(frozen=True)
class Subscription:
    """One of our subscriptions as the destination shows it."""

    stream: Stream
    oid: int
    enabled: bool
    ours: bool
    tables: int
    unready: int
    worker: int | None

    @property
    def state(self) -> str:
        """Return in a word or two what it does."""
        if not self.enabled:
            return "disabled"
        if self.worker is None:
            return "no worker"
        return f"{self.unready} not ready" if self.unready else "streaming"


def find_subscriptions(ctx: ReadContext) -> list[Subscription]:
    """Return the subscriptions of our names in the destination's database, by number."""
    rows = {r.name: r for r in ctx.destination.rows(FIND, [[s.subscription for s in ctx.names.streams]])}
    return [
        Subscription(
            stream=stream,
            oid=row.oid,
            enabled=row.enabled,
            ours=row.mark == ctx.names.mark,
            tables=row.tables,
            unready=row.unready,
            worker=row.worker,
        )
        for stream in ctx.names.streams
        if (row := rows.get(stream.subscription)) is not None
    ]


def unmarked(found: list[Subscription]) -> str:
    """Name the subscriptions that do not carry our mark, or return nothing."""
    return ", ".join(s.stream.subscription for s in found if not s.ours)


def disabled(ctx: ReadContext) -> list[Subscription]:
    """Return the subscriptions of ours that do not run because somebody stopped them."""
    return [s for s in find_subscriptions(ctx) if s.ours and not s.enabled]


def apply_errors(ctx: ReadContext, oid: int) -> int | None:
    """Return how often a stream's worker has failed, or None where the server does not count it."""
    if not ctx.destination_server.has(Feature.SUBSCRIPTION_STATS):
        return None
    count: int | None = ctx.destination.value(APPLY_ERRORS, [oid])
    return count


def dropped_origins(ctx: ReadContext) -> list[str]:
    """Return the replication origins of our dropped subscriptions, of which nobody has made sure yet."""
    records = Registry(ctx.destination, ctx.names).read_some(_events(ctx, DROPPED_EVENT))
    return sorted(record["origin"] for record in records.values())


def drop_left_origins(ctx: WriteContext) -> None:
    """Drop those origins that are still there, and forget about them."""
    for row in ctx.destination.rows(ORIGINS, [dropped_origins(ctx)]):
        ctx.write_destination.execute(DROP_ORIGIN, [row.roname])
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    for event in registry.read_some(_events(ctx, DROPPED_EVENT)):
        registry.forget(event)


def forget_positions(ctx: WriteContext) -> None:
    """Forget where dropped streams stood, in the surrounding transaction: the next ones begin anew."""
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    for event in registry.read_some(_events(ctx, POSITION_EVENT)):
        registry.forget(event)


def starting(ctx: ReadContext) -> list[sql.Composed]:
    """Return the statements that start every stream of ours."""
    return [_on(s.stream, ENABLE) for s in find_subscriptions(ctx) if s.ours]


def stopping(ctx: ReadContext) -> list[sql.Composed]:
    """Return the statements that stop every stream of ours."""
    return [_on(s.stream, DISABLE) for s in find_subscriptions(ctx) if s.ours]


def dropping(ctx: ReadContext) -> list[sql.Composed]:
    """Return the statements that drop every subscription of ours, once it is stopped, and keep its slot."""
    return [_on(s.stream, text) for s in find_subscriptions(ctx) if s.ours for text in (DETACH, DROP)]


def enable(ctx: WriteContext) -> None:
    """Start every stream of ours."""
    for statement in starting(ctx):
        ctx.write_destination.run(statement)


def start_stopped(ctx: WriteContext) -> None:
    """Start the streams that a run which was cut short has left stopped."""
    if disabled(ctx):
        ctx.note("the stream was stopped; it is started again")
        enable(ctx)


def revive(ctx: WriteContext) -> None:
    """Start the streams that were left stopped, and wait for all workers."""
    start_stopped(ctx)

    def idle() -> list[str]:
        return [s.stream.subscription for s in find_subscriptions(ctx) if s.ours and s.worker is None]

    ctx.wait_until(
        lambda: not idle(),
        what="the stream's apply worker",
        timeout=15,
        explain=lambda: ", ".join(idle()),
    )


def disable(ctx: WriteContext) -> None:
    """Stop every stream of ours and wait until their workers and walsenders are gone."""
    ours = [s.stream for s in find_subscriptions(ctx) if s.ours]
    for statement in stopping(ctx):
        ctx.write_destination.run(statement)

    def busy() -> list[str]:
        working = [s.stream.subscription for s in find_subscriptions(ctx) if s.ours and s.worker is not None]
        return working or [row.slot for row in ctx.source.rows(READERS, [[s.slot for s in ours]])]

    ctx.wait_until(
        lambda: not busy(),
        what="the stream's worker to stop",
        timeout=60,
        explain=lambda: ", ".join(busy()),
    )


def stop(ctx: WriteContext, *, timeout: float) -> None:
    """Stop every stream of ours at once, when everything has arrived.

    Raises TimedOut after ``timeout`` seconds.
    """
    ours = [s for s in find_subscriptions(ctx) if s.ours]
    disable_now(ctx, ours)
    end_workers(ctx, ours)
    await_stop(ctx, ours, timeout=timeout)


def disable_now(ctx: WriteContext, ours: Sequence[Subscription]) -> None:
    """Disable these streams, whose workers go on for up to a second unless they are ended."""
    for subscription in ours:
        ctx.write_destination.run(_on(subscription.stream, DISABLE))


def end_workers(ctx: WriteContext, ours: Sequence[Subscription]) -> None:
    """End the workers of streams that are disabled, or the launcher would start others."""
    ctx.write_destination.execute(END, [[s.oid for s in ours]])


def await_stop(ctx: WriteContext, ours: Sequence[Subscription], *, timeout: float) -> None:
    """Wait until no worker of these streams is left. Raises TimedOut after ``timeout`` seconds."""
    oids = [s.oid for s in ours]
    ctx.wait_until(
        lambda: not ctx.write_destination.value(WORKING, [oids]),
        what="the stream's worker to stop",
        timeout=timeout,
        interval=0.001,
    )


def drop(ctx: WriteContext) -> None:
    """Drop our subscriptions and keep their slots, remembering how far each stream was applied.

    The slot's own position may lie behind what is applied; the origin's progress is exact. Without
    it the next subscription would apply transactions twice.
    """
    ours = [s for s in find_subscriptions(ctx) if s.ours]
    if not ours:
        return
    disable(ctx)
    session = ctx.write_destination
    registry = WritableRegistry(session, ctx.names)
    with session.transaction():
        for found in ours:
            position = session.value(POSITION, [str(found.oid)])
            if position is not None and registry.is_ours():
                registry.record(found.stream.event(POSITION_EVENT), {"position": position})
            if registry.is_ours():
                registry.record(found.stream.event(DROPPED_EVENT), {"origin": f"pg_{found.oid}"})
            session.run(_on(found.stream, DETACH))
            session.run(_on(found.stream, DROP))


def _events(ctx: ReadContext, name: str) -> list[str]:
    return [stream.event(name) for stream in ctx.names.streams]


def _on(stream: Stream, text: str) -> sql.Composed:
    return sql.SQL(text).format(name=sql.Identifier(stream.subscription))
