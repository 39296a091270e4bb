"""Whatever the workers ask for, the bytes stay within the rate; a pause is a pause."""

from __future__ import annotations

import asyncio
import os
import signal

from hypothesis import given
from hypothesis import strategies as st

from migrator.copy.throttle import Throttle, heeding_signals


class Clock:
    """A time that passes only where somebody sleeps."""

    def __init__(self) -> None:
        self.time = 0.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        until = self.time + seconds
        await asyncio.sleep(0)
        self.time = max(self.time, until)


works = st.lists(
    st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 3)), max_size=8), min_size=1, max_size=4
)


@given(rate=st.integers(1, 10_000), works=works)
def test_over_any_time_the_bytes_are_at_most_the_rate_and_one_burst(
    rate: int, works: list[list[tuple[int, float]]]
) -> None:
    clock = Clock()
    gone: list[tuple[float, int]] = []
    throttle = Throttle(rate, now=clock.now, sleep=clock.sleep)

    async def worker(blocks: list[tuple[int, float]]) -> None:
        for size, rest in blocks:
            await throttle.spend(size)
            gone.append((clock.time, size))
            await clock.sleep(rest)

    async def run() -> None:
        await asyncio.gather(*map(worker, works))

    asyncio.run(run())
    assert len(gone) == sum(map(len, works))
    at_once = max([throttle.burst, *(size for _, size in gone)])
    for first in range(len(gone)):
        for last in range(first, len(gone)):
            sent = sum(size for _, size in gone[first : last + 1])
            assert sent <= rate * (gone[last][0] - gone[first][0]) + at_once + 0.01


def test_the_rate_is_also_reached() -> None:
    clock = Clock()
    throttle = Throttle(1000, now=clock.now, sleep=clock.sleep)

    async def run() -> None:
        for _ in range(100):
            await throttle.spend(100)

    asyncio.run(run())
    assert 9.7 <= clock.time <= 10


def test_nothing_goes_during_a_pause_and_a_pause_saves_nothing_up() -> None:
    clock = Clock()
    throttle = Throttle(1000, now=clock.now, sleep=clock.sleep)

    async def run() -> None:
        await throttle.spend(250)
        throttle.pause()
        waiting = [asyncio.create_task(throttle.spend(250)) for _ in range(4)]
        for _ in range(10):
            await clock.sleep(10)
        assert throttle.paused
        assert not any(task.done() for task in waiting)
        throttle.resume()
        await asyncio.gather(*waiting)
        assert clock.time >= 100.75

    asyncio.run(run())


def test_without_a_rate_only_a_pause_holds_up() -> None:
    async def run() -> None:
        throttle = Throttle()
        await throttle.spend(2**60)
        throttle.pause()
        waiting = asyncio.create_task(throttle.spend(1))
        await asyncio.sleep(0.01)
        assert not waiting.done()
        throttle.resume()
        await waiting

    asyncio.run(run())


def test_the_signals_pause_and_go_on_once_each_and_mean_afterwards_what_they_did() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    notes: list[str] = []

    async def send(number: signal.Signals) -> None:
        os.kill(os.getpid(), number)
        await asyncio.sleep(0.02)

    async def run() -> None:
        throttle = Throttle()
        with heeding_signals(throttle, notes.append):
            for _ in range(2):
                await send(signal.SIGUSR1)
                assert throttle.paused
            for _ in range(2):
                await send(signal.SIGUSR2)
                assert not throttle.paused
        assert signal.getsignal(signal.SIGUSR1) == before

    asyncio.run(run())
    assert len(notes) == 2
    assert f"kill -USR2 {os.getpid()}" in notes[0]


def test_in_another_thread_the_signals_are_left_alone() -> None:
    async def run() -> None:
        with heeding_signals(Throttle(), print):
            assert signal.getsignal(signal.SIGUSR1) == before

    before = signal.getsignal(signal.SIGUSR1)

    async def elsewhere() -> None:
        await asyncio.to_thread(asyncio.run, run())

    asyncio.run(elsewhere())
