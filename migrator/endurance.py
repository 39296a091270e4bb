"""Go on by itself after a lost connection: what a user would do, the same command again, until a deadline.

Nothing is carried over from one try to the next: all sessions are closed, the servers are connected
to as at the beginning (the same servers? the locks, the lease), and every step is probed again. That is
the road of a run that was killed. A step that is a point of no return is tried once in a run: whether
it has happened is for the operator to see before anything else happens. Once it surely has, clients wait
and there is only forward: that is gone on with.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING

from migrator.errors import (
    ConnectionLost,
    LeaseHeld,
    LostPastNoReturn,
    MigratorError,
    ToolFailed,
    Unreachable,
)
from migrator.events import Emit, StepNote
from migrator.workflow import SWITCH_BACK, TRANSITIONS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from migrator.context import WriteContext

# Seconds between two tries; the last one stays.
PAUSES = (0.2, 0.5, 1.0, 2.0, 5.0)
# A server that goes down again and again under the same step is not to be brought down once more.
LOSSES_OF_A_STEP = 5
ONCE = {t.no_return_at for t in (*TRANSITIONS, SWITCH_BACK)}


class Endurance:
    """Do work on both servers, again after a lost connection, until they were away for ``limit`` seconds."""

    def __init__(
        self,
        limit: float,
        emit: Emit,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._limit = limit
        self._emit = emit
        self._now = now
        self._sleep = sleep
        self._losses: Counter[str] = Counter()

    def run(
        self,
        connect: Callable[[], AbstractContextManager[WriteContext]],
        work: Callable[[WriteContext], None],
    ) -> None:
        """Do ``work`` with what ``connect`` gives.

        Raises at once what ``connect`` raises the first time and what is no lost connection; the lost
        connection when the servers do not come back in time, when the same step has lost it too often,
        and at a point of no return.
        """
        until: float | None = None
        tries = 0
        while True:
            step: str | None = None
            try:
                with connect() as ctx:
                    try:
                        self._work(ctx, work)
                    finally:
                        step = ctx.step
                return
            except (ConnectionLost, Unreachable, LeaseHeld) as error:
                if step is not None:
                    self._require_worth(step, error)
                    until, tries = self._now() + self._limit, 0
                # The server may hold the locks of our own lost sessions for a while.
                elif until is None or self._now() > until:
                    raise
            self._sleep(PAUSES[min(tries, len(PAUSES) - 1)])
            tries += 1

    def _work(self, ctx: WriteContext, work: Callable[[WriteContext], None]) -> None:
        try:
            work(ctx)
        except ToolFailed:
            # A program tells in words of its own that it lost its connection; ours are lost too, then.
            for session in (ctx.source, ctx.destination):
                session.value("select 1")
            raise

    def _require_worth(self, step: str, error: MigratorError) -> None:
        self._losses[step] += 1
        once = step in ONCE and not isinstance(error, LostPastNoReturn)
        if once or self._losses[step] > LOSSES_OF_A_STEP:
            raise error
        told = f"{error.message}; for {self._limit:g} s both servers are tried, then this goes on"
        self._emit(StepNote(step, told))
