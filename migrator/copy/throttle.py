"""How fast the copy may read, for all of its workers together; and whether it may at all.

A worker that waits here leaves its connections open with a COPY under way: the servers wait with it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

# How much may go at once after a rest, as seconds of the rate.
BURST = 0.25
# Below what a clock tells apart, waiting would not end.
SHORTEST = 0.001


class Throttle:
    """A bucket of bytes that fills at ``rate`` per second; 0 is without bounds.

    Over any time the bytes are at most ``rate`` times that, and ``burst`` (or one block that is larger).
    Whoever came first goes first.
    """

    def __init__(
        self,
        rate: int = 0,
        *,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self.rate = rate
        self.burst = rate * BURST
        self._now = now
        self._sleep = sleep
        self._left = self.burst
        self._filled_at = now()
        self._turn = asyncio.Lock()
        self._running = asyncio.Event()
        self._running.set()

    @property
    def paused(self) -> bool:
        """Return whether nothing may go."""
        return not self._running.is_set()

    def pause(self) -> None:
        """Let nothing go until ``resume``."""
        self._running.clear()

    def resume(self) -> None:
        """Go on."""
        self._running.set()

    async def spend(self, size: int) -> None:
        """Wait until ``size`` bytes may go."""
        if not self.rate:
            await self._running.wait()
            return
        async with self._turn:
            while True:
                await self._running.wait()
                self._fill()
                # More than the bucket holds goes when it is full, and is owed.
                lacking = min(size, self.burst) - self._left
                if lacking <= 0:
                    break
                await self._sleep(max(lacking / self.rate, SHORTEST))
            self._left -= size

    def _fill(self) -> None:
        now = self._now()
        self._left = min(self.burst, self._left + (now - self._filled_at) * self.rate)
        self._filled_at = now


@contextmanager
def heeding_signals(throttle: Throttle, note: Callable[[str], None]) -> Iterator[None]:
    """Pause at SIGUSR1 and go on at SIGUSR2, within the running event loop; ``note`` is told.

    Afterwards they mean what they meant before. In another thread than the main one, which alone hears
    signals, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def pause() -> None:
        if not throttle.paused:
            throttle.pause()
            note(f"the copy is paused; its connections stay open; kill -USR2 {os.getpid()} goes on")

    def resume() -> None:
        if throttle.paused:
            throttle.resume()
            note("the copy goes on")

    loop = asyncio.get_running_loop()
    handlers = {signal.SIGUSR1: pause, signal.SIGUSR2: resume}
    before = {number: signal.getsignal(number) for number in handlers}
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
            signal.signal(number, before[number])
