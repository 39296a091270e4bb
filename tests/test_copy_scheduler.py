"""Tasks run when what they need is done, the longest chain first; the first failure ends all."""

from __future__ import annotations

import asyncio
import itertools
import sys
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.config import CopySection, Size
from migrator.copy import pieces
from migrator.copy.scheduler import Pool, Scheduler, Task, weights
from migrator.pg.catalog import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Work:
    """Tasks that note when they begin and end, and pools that note their workers."""

    def __init__(self, sizes: dict[str, int]) -> None:
        self.tasks: list[Task] = []
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.cancelled: list[str] = []
        self.at_once = dict.fromkeys(sizes, 0)
        self.most = dict.fromkeys(sizes, 0)
        self.open = 0
        self.scheduler = Scheduler({name: Pool(size, self.worker) for name, size in sizes.items()})

    @asynccontextmanager
    async def worker(self) -> AsyncIterator[None]:
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def add(self, name: str, *needs: Task, pool: str = "copy", cost: float = 1, fails: bool = False) -> Task:
        async def run(_worker: Any) -> None:
            assert {n.what for n in needs} <= set(self.ended)
            self.begun.append(name)
            self.at_once[pool] += 1
            self.most[pool] = max(self.most[pool], self.at_once[pool])
            try:
                for _ in range(1 + len(name) % 3):
                    await asyncio.sleep(0)
                if fails:
                    raise ValueError(name)
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            finally:
                self.at_once[pool] -= 1
            self.ended.append(name)

        self.tasks.append(Task(name, pool, cost, run, list(needs)))
        return self.tasks[-1]

    def do(self) -> None:
        asyncio.run(asyncio.wait_for(self.scheduler.run(self.tasks), 10))


@st.composite
def works(draw: st.DrawFn) -> Work:
    work = Work({"copy": draw(st.integers(1, 4)), "build": draw(st.integers(1, 4))})
    for number in range(draw(st.integers(0, 25))):
        needs = draw(st.lists(st.sampled_from(work.tasks), unique=True, max_size=3)) if work.tasks else []
        pool = draw(st.sampled_from(["copy", "build"]))
        work.add(f"t{number}", *needs, pool=pool, cost=draw(st.integers(0, 100)))
    return work


@given(works())
def test_every_task_runs_once_after_what_it_needs_and_within_its_pool(work: Work) -> None:
    sizes = {name: pool.size for name, pool in work.scheduler._pools.items()}
    work.do()
    assert sorted(work.ended) == sorted(t.what for t in work.tasks)
    assert all(work.most[name] <= size for name, size in sizes.items())
    assert work.open == 0


@given(works(), st.data())
def test_the_first_failure_ends_everything_and_closes_the_workers(work: Work, data: st.DataObject) -> None:
    needs = data.draw(st.lists(st.sampled_from(work.tasks), unique=True, max_size=2)) if work.tasks else []
    bad = work.add("bad", *needs, fails=True)
    work.add("after", bad)
    with pytest.raises(BaseExceptionGroup) as raised:
        work.do()
    assert raised.group_contains(ValueError, match="bad")
    assert "after" not in work.begun
    assert work.open == 0


def test_the_longest_chain_is_begun_first() -> None:
    work = Work({"copy": 1, "build": 1})
    work.add("large and bare", cost=50)
    small = work.add("small with indexes", cost=10)
    work.add("index", small, pool="build", cost=30)
    work.add("key", small, pool="build", cost=40)
    work.do()
    assert work.begun[0] == "small with indexes"
    assert weights(work.tasks)[small] == 80


def test_spare_workers_are_those_that_nothing_waits_for() -> None:
    work = Work({"copy": 1, "build": 4})
    assert work.scheduler.spare("build") == 4
    seen: list[int] = []

    async def look(_worker: Any) -> None:
        seen.append(work.scheduler.spare("build"))
        await asyncio.sleep(0)

    work.tasks += [Task(str(n), "build", n, look) for n in range(6)]
    work.tasks.append(Task("last", "build", 0, look, list(work.tasks)))
    work.do()
    assert seen[0] == 0
    assert seen[-1] == 3


@given(st.integers(0, 10_000), st.integers(1, 50))
def test_the_cuts_of_a_table_are_even_and_ascending(length: int, parts: int) -> None:
    cuts = pieces.even(length, parts)
    assert cuts == sorted(set(cuts))
    edges = [0, *cuts, length]
    sizes = [b - a for a, b in itertools.pairwise(edges)]
    if length >= parts:
        assert len(sizes) == parts
        assert max(sizes) - min(sizes) <= 1


@given(st.lists(st.integers(-50, 50), max_size=8), st.lists(st.integers(-60, 60), max_size=30))
def test_every_value_is_in_exactly_one_piece(bounds: list[int], values: list[int]) -> None:
    conditions = pieces.ranges("n", "int", [str(b) for b in sorted(bounds)])
    for value in values:
        hits = 0
        for condition in conditions:
            text = "True" if condition is None else condition.as_string().replace("::int", "")
            hits += bool(eval(text.replace('"n"', str(value)).replace("'", "")))
        assert hits == 1


@pytest.mark.parametrize(
    ("configured", "cores", "above"),
    [(0, None, 1024**3), (0, 3, 1024**3), (0, 2, sys.maxsize), (5000, 2, 5000), (5000, None, 5000)],
)
def test_tables_are_not_cut_where_two_copies_would_share_a_core(
    configured: int, cores: int | None, above: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrator.copy.pieces.known_cores", lambda _ctx: cores)
    ctx: Any = SimpleNamespace(config=SimpleNamespace(copy=CopySection(split_above=Size(configured))))
    assert pieces.size_of_pieces(ctx) == above


def test_a_table_is_named_by_its_piece_only_when_it_is_cut() -> None:
    table = Table(1, "public", "orders", bytes=10)
    assert pieces.Piece(table).label == "public.orders"
    assert pieces.Piece(table, 1, 3).label == "public.orders (2 of 3)"
