"""Wait until the streams have applied all that the publisher had written up to a position; writes nothing.

The slot's ``confirmed_flush_lsn`` proves it: a worker confirms a position only when every transaction that
was sent before it is committed on its side and flushed (``get_flush_position`` in worker.c), and they are
sent in the order of their commits. It comes up to a second late, which is safe. ``received_lsn`` and
``latest_end_lsn`` speak of what was received; the replication origin stands still where nothing of ours is
written. Who must not be late and may write sends a token (``drain.py``).
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from migrator.errors import TimedOut
from migrator.events import StepNote
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession

# A slot that is not there never confirms.
LATE = """
select w.slot
from unnest(%s::text[]) as w (slot)
left join pg_catalog.pg_replication_slots s on s.slot_name = w.slot
where coalesce(pg_catalog.pg_wal_lsn_diff(s.confirmed_flush_lsn, '0/0'), 0) < %s
"""
INTERVAL = 0.02
# After so many seconds a wait is told.
TOLD_AFTER = 2.0


def lsn(position: int) -> str:
    """Return a position in bytes as PostgreSQL writes it."""
    return f"{position >> 32:X}/{position & 0xFFFFFFFF:X}"


class Applied:
    """Waits for the subscriptions of ours that lead to the context's destination; several threads may.

    ``timeout`` is in seconds, for each wait. A wait ends at once when ``halted`` is set. ``what`` is the
    command that waits, as its notes say.
    """

    def __init__(self, ctx: ReadContext, what: str, *, timeout: float, halted: threading.Event) -> None:
        self._ctx = ctx
        self._what = what
        self._timeout = timeout
        self._halted = halted
        self._streams = [s.stream for s in streams.find_subscriptions(ctx) if s.ours]
        self._telling = threading.Lock()
        self._told = False

    @property
    def streaming(self) -> bool:
        """Return whether there is a stream to wait for."""
        return bool(self._streams)

    def wait(self, publisher: ReadSession, position: int) -> None:
        """Wait until everything before ``position``, in bytes, is applied, if there are streams at all.

        Raises TimedOut, naming the streams that have not got so far and what they do.
        """
        if not self._streams:
            return
        started = self._ctx.now()
        while late := self.late(publisher, position):
            waited = self._ctx.now() - started
            if waited > self._timeout:
                raise TimedOut(
                    f"the stream has not applied what was written before {lsn(position)} within "
                    f"{self._timeout:g} s: {self._doing(late)}",
                    hint=f"migrator status; the {self._ctx.destination.side}'s server log says why",
                    streams=late,
                    position=lsn(position),
                )
            if waited > TOLD_AFTER:
                self._tell(late)
            if self._halted.wait(INTERVAL):
                return

    def late(self, publisher: ReadSession, position: int) -> list[str]:
        """Return the subscriptions that have not applied everything before ``position``."""
        slots = {s.slot: s.subscription for s in self._streams}
        return [slots[row.slot] for row in publisher.rows(LATE, [list(slots), position])]

    def _tell(self, late: list[str]) -> None:
        with self._telling:
            if not self._told:
                self._told = True
                self._ctx.emit(StepNote(self._what, f"waiting for the stream: {self._doing(late)}"))

    def _doing(self, late: list[str]) -> str:
        there = {s.stream.subscription: s for s in streams.find_subscriptions(self._ctx)}
        return ", ".join(f"{name} ({there[name].state if name in there else 'gone'})" for name in late)
