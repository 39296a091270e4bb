"""Measure how fast a step goes and how long it still takes."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING

from migrator.render.units import amount_text, count_text, seconds_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.events import StepProgress

WINDOW_SECONDS = 20.0


class Rate:
    """Keep the last seconds of one step's progress; a changed unit begins anew."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._unit = ""
        self._seen: deque[tuple[float, int]] = deque()

    def add(self, event: StepProgress) -> None:
        """Take in how far the step is now."""
        at = self._now()
        if event.unit != self._unit or (self._seen and event.done < self._seen[-1][1]):
            self._seen.clear()
            self._unit = event.unit
        self._seen.append((at, event.done))
        while len(self._seen) > 2 and self._seen[1][0] <= at - WINDOW_SECONDS:
            self._seen.popleft()

    @property
    def per_second(self) -> float:
        """Return the rate over the window, 0 while it is not known."""
        if len(self._seen) < 2:
            return 0.0
        (first_at, first), (last_at, last) = self._seen[0], self._seen[-1]
        return (last - first) / (last_at - first_at) if last_at > first_at else 0.0


def progress_text(event: StepProgress, per_second: float) -> str:
    """Return how far a step is: ``45 %  1.2 GB of 2.6 GB · 85 MB/s · 16 s left``.

    The rate is told of bytes and rows; indexes and their like are not of one size.
    """
    done = amount_text(event.done, event.unit)
    if event.total:
        done = done if event.unit == "bytes" else count_text(event.done)
        done = f"{done} of {amount_text(event.total, event.unit)}"
    parts = [done]
    if per_second > 0:
        if event.unit in ("bytes", "rows"):
            parts.append(f"{amount_text(max(round(per_second), 1), event.unit)}/s")
        if event.total > event.done:
            parts.append(f"{seconds_text((event.total - event.done) / per_second)} left")
    percent = f"{min(100 * event.done // event.total, 100)} %  " if event.total else ""
    return percent + " · ".join(parts)
