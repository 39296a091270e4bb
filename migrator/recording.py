"""Write down what events tell of a copy, while it runs: its tables, and samples for the trends."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.events import CopyStarted, Emit, Event, SourceSampled, StepProgress, TableProgressed

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.store.journal import Journal

# Seconds between two samples of a kind: enough for a trend, and nothing beside the copy itself.
SAMPLE_EVERY = 2.0
# How long a sample tells anything.
KEPT = timedelta(days=7)


class Recorder:
    """A listener that records what it is told, then tells the next one."""

    def __init__(
        self,
        journal: Journal,
        migration_id: int,
        emit: Emit,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._migration_id = migration_id
        self._emit = emit
        self._now = now
        self._bytes = 0
        self._rows: dict[str, int] = {}
        self._source: SourceSampled | None = None
        self._sampled_at: dict[str, float] = {}
        journal.prune_samples(migration_id, KEPT)

    def __call__(self, event: Event) -> None:
        """Record one event and pass it on."""
        journal, number = self._journal, self._migration_id
        match event:
            case CopyStarted(tables, resumed):
                self._bytes = 0
                self._rows.clear()
                journal.reset_tables(number, [name for name, _ in tables] if resumed else None)
                journal.plan_tables(number, list(tables))
            case TableProgressed(table, state, rows, size, _):
                self._rows[table] = rows
                if state == "copied":
                    journal.table_finished(number, table, rows=rows, bytes=size)
                elif state == "started":
                    journal.table_started(number, table)
                else:
                    journal.table_progress(number, table, rows=rows, bytes=size)
                self._sample("progress", self._progress)
            case StepProgress(_, done, _, "bytes", _):
                self._bytes = done
                self._sample("progress", self._progress)
            case SourceSampled():
                self._source = event
                self._sample("source", partial(asdict, event))
        self._emit(event)

    def _progress(self) -> dict[str, Any]:
        source = self._source
        return {
            "bytes": self._bytes,
            "rows": sum(self._rows.values()),
            "retained_bytes": source.retained_bytes if source else None,
            "lag_bytes": source.lag_bytes if source else None,
        }

    def _sample(self, kind: str, measure: Callable[[], dict[str, Any]]) -> None:
        at = self._now()
        if at - self._sampled_at.get(kind, float("-inf")) >= SAMPLE_EVERY:
            self._sampled_at[kind] = at
            self._journal.sample(self._migration_id, kind, measure())
