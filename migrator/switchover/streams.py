"""The forward stream: what its subscription shows, how to start it, stop it and take it away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

# Where the stream stood when its subscription was dropped; the next one begins there.
POSITION_EVENT = "stream_position"
# Which origin went with the dropped subscription.
DROPPED_EVENT = "subscription_dropped"

FIND = """
select s.oid,
       s.subenabled as enabled,
       pg_catalog.obj_description(s.oid, 'pg_subscription') as mark,
       s.subslotname::text as slot,
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
  and s.subname = %s
"""
ENABLE = "alter subscription {name} enable"
DISABLE = "alter subscription {name} disable"
DETACH = "alter subscription {name} set (slot_name = none)"
DROP = "drop subscription {name}"
ORIGIN = "select roname from pg_catalog.pg_replication_origin where roname = %s"
DROP_ORIGIN = "select pg_catalog.pg_replication_origin_drop(%s)"
POSITION = "select pg_catalog.pg_replication_origin_progress('pg_' || %s, true)::text"
APPLY_ERRORS = """
select (to_jsonb(s) ->> 'apply_error_count')::bigint
from pg_catalog.pg_stat_subscription_stats s
where s.subid = %s
"""
SLOT_READER = "select active_pid from pg_catalog.pg_replication_slots where slot_name = %s"


@dataclass(frozen=True)
class Subscription:
    """Our subscription as the destination shows it."""

    oid: int
    enabled: bool
    ours: bool
    slot: str | None
    tables: int
    unready: int
    worker: int | None


def find_subscription(ctx: ReadContext) -> Subscription | None:
    """Return the subscription of our name in the destination's database, or None."""
    row = ctx.destination.row(FIND, [ctx.names.subscription])
    if row is None:
        return None
    return Subscription(
        oid=row.oid,
        enabled=row.enabled,
        ours=row.mark == ctx.names.mark,
        slot=row.slot,
        tables=row.tables,
        unready=row.unready,
        worker=row.worker,
    )


def apply_errors(ctx: ReadContext, oid: int) -> int | None:
    """Return how often the stream's worker has failed, or None where the server does not count it."""
    if not ctx.destination_server.has(Feature.SUBSCRIPTION_STATS):
        return None
    count: int | None = ctx.destination.value(APPLY_ERRORS, [oid])
    return count


def left_origin(ctx: ReadContext) -> str | None:
    """Return the replication origin of our dropped subscription where it is still there."""
    record = Registry(ctx.destination, ctx.names).read(DROPPED_EVENT)
    name: str | None = ctx.destination.value(ORIGIN, [record["origin"]]) if record else None
    return name


def drop_left_origin(ctx: WriteContext) -> None:
    """Drop that origin, and forget about it."""
    origin = left_origin(ctx)
    if origin is not None:
        ctx.write_destination.execute(DROP_ORIGIN, [origin])
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    if registry.is_ours():
        registry.forget(DROPPED_EVENT)


def enable(ctx: WriteContext) -> None:
    """Start the stream."""
    ctx.write_destination.run(_on(ctx, ENABLE))


def disable(ctx: WriteContext) -> None:
    """Stop the stream and wait until its worker and its walsender are gone."""
    ctx.write_destination.run(_on(ctx, DISABLE))

    def stopped() -> bool:
        found = find_subscription(ctx)
        reading = ctx.source.value(SLOT_READER, [ctx.names.slot])
        return (found is None or found.worker is None) and reading is None

    ctx.wait_until(stopped, what="the stream's worker to stop", timeout=60)


def drop(ctx: WriteContext) -> None:
    """Drop our subscription and keep its slot, remembering how far the stream was applied.

    The slot's own position may lie behind what is applied; the origin's progress is exact. Without
    it the next subscription would apply transactions twice.
    """
    found = find_subscription(ctx)
    if found is None or not found.ours:
        return
    disable(ctx)
    session = ctx.write_destination
    registry = WritableRegistry(session, ctx.names)
    with session.transaction():
        position = session.value(POSITION, [str(found.oid)])
        if position is not None and registry.is_ours():
            registry.record(POSITION_EVENT, {"position": position})
        if registry.is_ours():
            registry.record(DROPPED_EVENT, {"origin": f"pg_{found.oid}"})
        session.run(_on(ctx, DETACH))
        session.run(_on(ctx, DROP))


def _on(ctx: ReadContext, text: str) -> sql.Composed:
    return sql.SQL(text).format(name=sql.Identifier(ctx.names.subscription))
