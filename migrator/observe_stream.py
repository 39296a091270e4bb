"""Look at the stream from outside: what its subscriptions do, and what the source bears for it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from migrator.context import FORWARD
from migrator.copy.protection import Burden, burdens, worst
from migrator.pg import publication
from migrator.report import PartReport, StreamReport
from migrator.switchover import streams
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.store.journal import SampleRecord

# How far back a trend looks while samples are being taken.
TREND = timedelta(minutes=5)
# A stream of which nothing is to be said.
WELL = "streaming"


def growth(samples: list[SampleRecord], retained: int, at: datetime) -> float | None:
    """Return by how many bytes per second retained WAL grows, or None where samples do not say.

    It is measured from the oldest sample of the last minutes, or from the newest of all, to what is
    retained ``at`` this moment.
    """
    known = [s for s in samples if s.values.get("wal_status") != "gone"]
    first = next((s for s in known if at - s.at <= TREND), known[-1] if known else None)
    seconds = (at - first.at).total_seconds() if first else 0.0
    if first is None or seconds < 1:
        return None
    return float((retained - first.values["retained_bytes"]) / seconds)


def stream_report(ctx: ReadContext, samples: list[SampleRecord]) -> StreamReport | None:
    """Describe the stream and what its publisher bears for it, or None where there is neither.

    It is the one to the side that does not take the writes; ``samples`` are the source's.
    """
    if handed_over(ctx) is not None:
        ctx, samples = ctx.mirrored(), []
    subscriptions = streams.find_subscriptions(ctx)
    each = burdens(ctx)
    source = worst(each)
    is_gone = source.wal_status == "gone"
    if not subscriptions and is_gone:
        return None
    parts = _parts(ctx, subscriptions, {b.slot: b for b in each})
    states = [part.state for part in parts]
    errors = [part.error_count for part in parts if part.error_count is not None]
    well = states.count(WELL)
    return StreamReport(
        states[0] if len(set(states)) == 1 else f"{well} of {len(states)} {WELL}",
        lag_bytes=source.lag_bytes,
        lag_seconds=source.lag_seconds,
        retained_bytes=None if is_gone else source.retained_bytes,
        wal_status=source.wal_status,
        error_count=sum(errors) if errors else None,
        retained_growth=None if is_gone else growth(samples, source.retained_bytes, datetime.now(UTC)),
        safe_wal_size=source.safe_wal_size,
        snapshot_seconds=source.snapshot_seconds,
        snapshot_transactions=source.snapshot_transactions,
        catalog_transactions=source.catalog_transactions,
        parts=tuple(parts) if len(parts) > 1 else (),
        direction="forward" if ctx.roles == FORWARD else "back",
    )


def _parts(
    ctx: ReadContext, subscriptions: list[streams.Subscription], burden: dict[str | None, Burden]
) -> list[PartReport]:
    here = {s.stream: s for s in subscriptions}
    there = {s for s in ctx.names.streams if s in here or s.slot in burden}
    there |= set(publication.published_streams(ctx.source, ctx.names))
    parts = []
    for stream in sorted(there, key=lambda s: s.number):
        subscription, slot = here.get(stream), burden.get(stream.slot)
        parts.append(
            PartReport(
                stream.subscription,
                subscription.state if subscription else "no subscription yet",
                lag_bytes=slot.lag_bytes if slot else None,
                lag_seconds=slot.lag_seconds if slot else None,
                retained_bytes=slot.retained_bytes if slot else None,
                wal_status=slot.wal_status if slot else "gone",
                error_count=streams.apply_errors(ctx, subscription.oid) if subscription else None,
            )
        )
    return parts
