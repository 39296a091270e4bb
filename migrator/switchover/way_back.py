"""Whether the way back is there, in one line that ``status`` shows at all times."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.switchover import gates, opposite, streams, unstreamed
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

SLOTS = """
select s.slot_name::text as slot,
       coalesce(to_jsonb(s) ->> 'wal_status', '') as wal_status,
       pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_lsn(), s.confirmed_flush_lsn)::bigint as behind,
       extract(epoch from r.replay_lag)::float8 as lag
from pg_catalog.pg_replication_slots s
left join pg_catalog.pg_stat_replication r on r.pid = s.active_pid
where s.slot_name = any (%s)
"""
# What can be mended while the stream that leads back goes on, or waits for it.
DEGRADING = (
    gates.stream_is_live,
    gates.tables_are_ready,
    gates.no_table_is_left_out,
    gates.columns_are_equal,
)


def way_back(ctx: ReadContext) -> str:
    """Return ``available``, ``degraded because …`` or ``lost because …``.

    Before the cutover it is what is prepared of it, or nothing.
    """
    if handed_over(ctx) is None:
        if not opposite.is_anything(ctx):
            return ""
        if missing := opposite.missing(ctx):
            return f"not prepared: {', '.join(missing)}"
        return "; ".join(["prepared", *_left(ctx.mirrored())])
    back = ctx.mirrored()
    if why := "; ".join(_lost(back)):
        return f"lost because {why}"
    if beside := unstreamed.not_carried_back(ctx):
        return f"degraded because it does not carry {', '.join(beside[:10])}"
    found = [why for gate in DEGRADING for why in gate(back)] or list(_slow(back))
    if why := "; ".join([*found, *_left(ctx)]):
        return f"degraded because {why}"
    return "available"


def _lost(back: ReadContext) -> Iterator[str]:
    subscriptions = [s.stream for s in streams.find_subscriptions(back) if s.ours]
    if not subscriptions:
        yield "there is no stream that leads back"
        return
    found = {row.slot: row for row in back.source.rows(SLOTS, [[s.slot for s in subscriptions]])}
    for stream in subscriptions:
        if stream.slot not in found:
            yield f"slot {stream.slot} is gone from the {back.source.side}"
        elif found[stream.slot].wal_status == "lost":
            yield f"slot {stream.slot} has lost WAL that the stream needs"
    yield from gates.no_table_is_rewritten(back)


def _left(ctx: ReadContext) -> Iterator[str]:
    """Name what a hand-over towards the context's source has left when it was cut short before its commit."""
    if slots := opposite.left_slots(ctx):
        yield (
            f"slot {', '.join(slots)} of a switchover that was cut short keeps WAL on the {ctx.source.side} "
            "until the next one"
        )


def _slow(back: ReadContext) -> Iterator[str]:
    limit = back.config.cutover.max_lag
    for row in back.source.rows(SLOTS, [[s.slot for s in back.names.streams]]):
        if (row.lag or 0) > limit:
            yield f"it is {row.lag:.1f} s behind ({row.behind} bytes)"
