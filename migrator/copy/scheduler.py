"""Do much work at once: every task as soon as what it needs is done, the longest chain behind it first.

Each kind of work has a pool of workers (a worker is what its tasks run on: connections). A task that
others wait for weighs as much as all that waits, so that the table with the most indexes to build is
copied first and the longest chain does not begin last. The first failure cancels everything else.
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable
    from contextlib import AbstractAsyncContextManager


@dataclass(eq=False, slots=True)
class Task:
    """One piece of work. ``cost`` is its own share, in any unit; ``needs`` must be done before it."""

    what: str
    pool: str
    cost: float
    run: Callable[[Any], Awaitable[None]]
    needs: list[Task] = field(default_factory=list)


# A table's schema and name, which are the same on both sides.
Name = tuple[str, str]


class Ready:
    """What is still to be done on each table, as far as it is planned; what comes next waits for it."""

    def __init__(self) -> None:
        self._tasks: dict[Name, list[Task]] = {}

    def when(self, tables: Iterable[Name]) -> list[Task]:
        """Return the tasks that these tables wait for, each once."""
        return list(dict.fromkeys(task for table in tables for task in self._tasks.get(table, ())))

    def after(self, tables: Iterable[Name], task: Task) -> None:
        """Have what comes next on these tables wait for ``task``, too."""
        for table in tables:
            self._tasks.setdefault(table, []).append(task)


@dataclass(frozen=True)
class Pool:
    """Workers of one kind: how many at most, and how one is opened and closed."""

    size: int
    worker: Callable[[], AbstractAsyncContextManager[Any]]


class Scheduler:
    """Run tasks in their pools until all are done."""

    def __init__(self, pools: dict[str, Pool]) -> None:
        self._pools = pools
        self._weights: dict[Task, float] = {}
        self._number: dict[Task, int] = {}
        self._missing: dict[Task, set[Task]] = {}
        self._behind: dict[Task, list[Task]] = {}
        self._left = dict.fromkeys(pools, 0)
        self._running = dict.fromkeys(pools, 0)
        self._ready: dict[str, list[tuple[float, int, Task]]] = {name: [] for name in pools}
        self._changed = asyncio.Condition()

    async def run(self, tasks: list[Task]) -> None:
        """Do everything. Raises the first failure, when all that ran beside it has ended."""
        self._weights = weights(tasks)
        for number, task in enumerate(tasks):
            self._number[task] = number
            self._left[task.pool] += 1
            self._missing[task] = set(task.needs)
            for need in task.needs:
                self._behind.setdefault(need, []).append(task)
            if not task.needs:
                self._make_ready(task)
        async with asyncio.TaskGroup() as group:
            for name, pool in self._pools.items():
                for _ in range(min(pool.size, self._left[name])):
                    group.create_task(self._serve(name, pool))

    def spare(self, pool: str, at_most: int | None = None) -> int:
        """Return how many workers of a pool have nothing to do, nor soon will; of ``at_most`` so many."""
        busy = self._running[pool] + len(self._ready[pool])
        size = self._pools[pool].size
        return max((size if at_most is None else min(size, at_most)) - busy, 0)

    def beginning(self, pool: str) -> int:
        """Return how many tasks of a pool begin now: the one that asks, and those that find a worker."""
        return 1 + min(len(self._ready[pool]), self._pools[pool].size - self._running[pool])

    async def _serve(self, name: str, pool: Pool) -> None:
        task = await self._next(name)
        if task is None:
            return
        async with pool.worker() as worker:
            while task is not None:
                await task.run(worker)
                await self._finish(task)
                task = await self._next(name)

    async def _next(self, pool: str) -> Task | None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._ready[pool] or not self._left[pool])
            if not self._ready[pool]:
                return None
            _, _, task = heapq.heappop(self._ready[pool])
            self._running[pool] += 1
            self._left[pool] -= 1
            self._changed.notify_all()
            return task

    async def _finish(self, task: Task) -> None:
        async with self._changed:
            self._running[task.pool] -= 1
            for waiting in self._behind.get(task, ()):
                self._missing[waiting].discard(task)
                if not self._missing[waiting]:
                    self._make_ready(waiting)
            self._changed.notify_all()

    def _make_ready(self, task: Task) -> None:
        heapq.heappush(self._ready[task.pool], (-self._weights[task], self._number[task], task))


def weights(tasks: list[Task]) -> dict[Task, float]:
    """Return for each task its own cost and that of everything which waits for it, directly or not.

    What waits for several is counted with each. Tasks come in an order in which none precedes its needs.
    """
    found = {task: task.cost for task in tasks}
    for task in reversed(tasks):
        for need in task.needs:
            found[need] += found[task]
    return found
