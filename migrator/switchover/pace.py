"""Hold a comparison back while the stream is late: what reads all rows must not starve who brings them.

How late it is, the publisher says of the last transactions that were applied. A stream that stands still
says nothing; so a position is marked now and then, and for as long as it is not applied, that is the least by
which the stream is late.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from migrator.copy.protection import burdens
from migrator.errors import TimedOut
from migrator.events import StepNote

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession
    from migrator.switchover.applied import Applied

# Seconds between two marks, and between two looks while somebody waits.
EVERY, INTERVAL = 1.0, 0.1


class Pace:
    """Says when the next piece of work may begin; several threads may ask.

    ``limit`` is by how many seconds the stream may be late, ``timeout`` bounds each wait. ``position`` gives
    one behind all that the publisher has written. ``what`` is the command that waits, as its notes say.
    """

    def __init__(
        self,
        ctx: ReadContext,
        what: str,
        applied: Applied,
        position: Callable[[ReadSession], int],
        *,
        limit: float,
        timeout: float,
        halted: Event,
    ) -> None:
        self._ctx, self._what, self._applied, self._position = ctx, what, applied, position
        self._limit, self._timeout, self._halted = limit, timeout, halted
        self._lock = Lock()
        self._mark = 0
        self._marked_at = float("-inf")

    def wait(self, until: float = float("inf")) -> bool:
        """Wait until the stream is late by no more than it may; say whether it is so at ``until``.

        Raises TimedOut.
        """
        if not self._applied.streaming:
            return True
        with self._lock:
            started = self._ctx.now()
            told = False
            while (late := self._late()) > self._limit and not self._halted.is_set():
                now = self._ctx.now()
                if now > until:
                    return False
                if now - started > self._timeout:
                    raise TimedOut(
                        f"the stream is {late:.1f} s behind, and has not come nearer than [cutover] max_lag "
                        f"({self._limit:g} s) within {self._timeout:g} s",
                        hint="migrator status says what it does; come again in a quieter hour, or give a "
                        "longer --timeout",
                        lag_seconds=late,
                    )
                if not told:
                    limit = f"[cutover] max_lag is {self._limit:g} s"
                    self._tell(f"waiting: the stream is {late:.1f} s behind, and {limit}")
                    told = True
                self._halted.wait(INTERVAL)
            if told:
                self._tell(f"going on, after {self._ctx.now() - started:.1f} s")
            return True

    def _late(self) -> float:
        """Return by how many seconds at least the stream is late."""
        publisher = self._ctx.source
        now = self._ctx.now()
        if self._mark and self._applied.late(publisher, self._mark):
            return now - self._marked_at
        lags = [burden.lag_seconds for burden in burdens(self._ctx)]
        if now - self._marked_at >= EVERY:
            self._mark, self._marked_at = self._position(publisher), now
        return max((lag for lag in lags if lag is not None), default=0.0)

    def _tell(self, text: str) -> None:
        self._ctx.emit(StepNote(self._what, text))
