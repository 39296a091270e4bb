"""What a migration costs the source while it runs: the WAL its slot keeps, the vacuum it holds back.

A slot keeps WAL until the stream has confirmed it, whatever the disk says (documentation 26.2.6);
a snapshot and the slot's ``catalog_xmin`` keep dead rows. ``guard`` gives the slot up before the source
suffers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrator.config import Size
from migrator.errors import SourceProtected
from migrator.events import SourceSampled

if TYPE_CHECKING:
    from migrator.context import ReadContext

# The oldest snapshot of ours is that of a session that works; the one that asks is not counted. Of a
# walsender, which holds the exported one, no xact_start is shown: its command began with the snapshot.
BURDEN = """
select s.slot_name::text as slot,
       coalesce(pg_catalog.pg_wal_lsn_diff(here.position, s.restart_lsn), 0)::bigint as retained_bytes,
       case when s.slot_name is null then 'gone' else coalesce(to_jsonb(s) ->> 'wal_status', '') end
           as wal_status,
       (to_jsonb(s) ->> 'safe_wal_size')::bigint as safe_wal_size,
       pg_catalog.pg_wal_lsn_diff(here.position, s.confirmed_flush_lsn)::bigint as lag_bytes,
       case
           when r.replay_lag is not null then extract(epoch from r.replay_lag)
           when r.state = 'streaming' and r.replay_lsn >= r.sent_lsn then 0
       end::float8 as lag_seconds,
       pg_catalog.age(s.catalog_xmin) as catalog_transactions,
       coalesce(held.seconds, 0)::float8 as snapshot_seconds,
       coalesce(held.age, 0) as snapshot_transactions
from (select pg_catalog.pg_current_wal_lsn() as position) here
left join pg_catalog.pg_replication_slots s on s.slot_name = any (%(slots)s)
left join pg_catalog.pg_stat_replication r on r.pid = s.active_pid
left join lateral (
    select pg_catalog.age(a.backend_xmin) as age,
           extract(epoch from clock_timestamp() - coalesce(a.xact_start, a.query_start, a.backend_start))
               as seconds
    from pg_catalog.pg_stat_activity a
    where a.application_name = %(application)s
      and a.backend_xmin is not null
      and a.pid <> pg_catalog.pg_backend_pid()
    order by 1 desc, 2 desc
    limit 1
) held on true
"""
# What may become of a slot, better first; before PostgreSQL 13 it is not said.
WORSE = ("gone", "", "reserved", "extended", "unreserved", "lost")


@dataclass(frozen=True)
class Burden:
    """What the source bears for us now: ages in seconds, and in transactions begun since.

    Of one slot, or the worst of all (``slot`` is None then, and where there is none).
    ``wal_status`` is ``gone`` without a slot, and empty before PostgreSQL 13, as ``safe_wal_size`` is None.
    ``lag_seconds`` is None where no stream runs, ``snapshot_seconds`` 0 where we hold no snapshot.
    """

    slot: str | None
    retained_bytes: int
    wal_status: str
    safe_wal_size: int | None
    lag_bytes: int | None
    lag_seconds: float | None
    catalog_transactions: int | None
    snapshot_seconds: float
    snapshot_transactions: int


def burdens(ctx: ReadContext) -> list[Burden]:
    """Return what the source bears for each slot of ours, in one query; once without one if none is there."""
    slots = [s.slot for s in ctx.names.streams]
    rows = ctx.source.rows(BURDEN, {"slots": slots, "application": ctx.names.application})
    return [Burden(**row._asdict()) for row in rows]


def worst(each: list[Burden]) -> Burden:
    """Return as one what the slots burden the source with: of each measure the worst."""
    return replace(
        each[0],
        slot=None,
        retained_bytes=max(b.retained_bytes for b in each),
        wal_status=max((b.wal_status for b in each), key=WORSE.index),
        safe_wal_size=min((b.safe_wal_size for b in each if b.safe_wal_size is not None), default=None),
        lag_bytes=max((b.lag_bytes for b in each if b.lag_bytes is not None), default=None),
        # A stream that does not run has no lag in seconds, and none is to be told of the others then.
        lag_seconds=_all_or_none([b.lag_seconds for b in each]),
        catalog_transactions=max(
            (b.catalog_transactions for b in each if b.catalog_transactions is not None), default=None
        ),
    )


def _all_or_none(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


def sample_source(ctx: ReadContext) -> SourceSampled:
    """Return what the source bears, as the event that is told and recorded."""
    now = worst(burdens(ctx))
    return SourceSampled(
        retained_bytes=now.retained_bytes,
        wal_status=now.wal_status,
        safe_wal_size=now.safe_wal_size,
        lag_bytes=now.lag_bytes,
        snapshot_age=now.snapshot_seconds,
    )


def guard(ctx: ReadContext, sample: SourceSampled) -> None:
    """Raise SourceProtected when the slot keeps more WAL than ``copy.max_retained_wal`` allows.

    Nothing is changed here: whoever calls drops the slot, so that the source can remove the WAL.
    """
    limit = ctx.config.copy.max_retained_wal
    if not limit or sample.retained_bytes <= limit:
        return
    raise SourceProtected(
        f"the source keeps {Size(sample.retained_bytes).text} of WAL for the copy, and copy.max_retained_wal "
        f"is {limit.text}: the slot is given up so that the source can remove it, and the copy begins again",
        hint="raise copy.max_retained_wal (0B: no limit) or copy in a quieter hour, then migrator advance",
        side="source",
        retained_bytes=sample.retained_bytes,
        max_retained_wal=int(limit),
    )
