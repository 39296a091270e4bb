"""Say what the last comparison of rows came to, as the store knows it. Asks no server."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from migrator.report import UNFINISHED, ComparisonReport

if TYPE_CHECKING:
    from migrator.store.journal import Journal
    from migrator.store.records import ComparisonRecord


def comparison(journal: Journal, migration_id: int) -> ComparisonReport | None:
    """Describe the last comparison that came to an end since the stream began, or None."""
    found = journal.last_comparison(migration_id)
    return _told(found) if found else None


def unfinished(journal: Journal, migration_id: int) -> ComparisonReport | None:
    """Describe the newest comparison where it did not come to an end: it runs, or was cut short."""
    found = journal.last_comparison(migration_id, finished=False)
    return _told(found) if found and found.finished_at is None else None


def _told(found: ComparisonRecord) -> ComparisonReport:
    counts = dict(found.counts)
    rows = {name: counts.pop(f"rows_{name}", 0) for name in ("different", "more", "moving")}
    settled = {name: counts.pop(f"settled_{name}", None) for name in ("equal", "different")}
    age = datetime.now(UTC) - (found.finished_at or found.started_at)
    return ComparisonReport(
        found.verdict or UNFINISHED,
        found.stream,
        found.how,
        found.lsn,
        round(age.total_seconds(), 3),
        tuple(found.patterns),
        counts,
        rows["different"],
        bool(rows["more"]),
        rows["moving"],
        settled["equal"],
        settled["different"],
    )
