"""Measure where the pause goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Stopwatch:
    """Measure the parts of the pause, in milliseconds, in the order in which they happen."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self.parts: dict[str, float] = {}
        self.begin()

    def begin(self) -> None:
        """Start the clock; what was before is not part of the pause."""
        self._started = self._last = self._now()

    def lap(self, part: str) -> None:
        """End the part that has been running."""
        now = self._now()
        self.parts[part] = round((now - self._last) * 1000, 1)
        self._last = now

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._now() - self._started

    @property
    def total(self) -> float:
        """Return the milliseconds of all parts."""
        return round(sum(self.parts.values()), 1)

    @property
    def told(self) -> str:
        """Return the parts for people."""
        return ", ".join(f"{part} {ms:g} ms" for part, ms in self.parts.items())
