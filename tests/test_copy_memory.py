"""The memory for index builds is divided: never more than the budget but for what each has anyway."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from migrator.copy.memory import MOST, Memory
from tests.fixtures import small

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.fixtures.road import Road

MB = 1024**2
SIZES = st.integers(0, 4 * 1024**3)


@given(SIZES, SIZES, st.lists(st.tuples(SIZES, st.integers(0, 5)), max_size=8))
def test_no_more_is_lent_than_there_is(own: int, budget: int, builds: list[tuple[int, int]]) -> None:
    memory = Memory(own, budget)
    with ExitStack() as stack:
        lent = [stack.enter_context(memory.lent(wanted, sharers)) for wanted, sharers in builds]
    assert all(amount >= min(own, MOST) for amount in lent)
    assert sum(amount for amount in lent if amount > own) <= budget
    with memory.lent(budget, 1) as again:
        assert again == min(max(own, budget), MOST)


def test_one_alone_has_all_and_two_that_begin_together_have_half_each() -> None:
    memory = Memory(64 * MB, 1024 * MB)
    with memory.lent(5000 * MB, 1) as alone:
        assert alone == 1024 * MB
    with memory.lent(5000 * MB, 2) as one, memory.lent(5000 * MB, 1) as other:
        assert one == other == 512 * MB


def test_a_small_index_leaves_the_rest_to_others() -> None:
    memory = Memory(64 * MB, 1024 * MB)
    with memory.lent(10 * MB, 1) as little, memory.lent(5000 * MB, 1) as large:
        assert (little, large) == (64 * MB, 960 * MB)


# An index whose entries note the most that their build was given, or ANALYZE.
NOTING = """
create sequence noted;
create function note(int) returns bigint immutable language sql as $$
    select pg_catalog.setval('public.noted', greatest(
        (select last_value from public.noted), pg_size_bytes(current_setting('maintenance_work_mem'))))
$$;
create index on products (note(id))
"""


def test_a_build_gets_the_memory_that_the_configuration_gives(
    road: Callable[..., Road], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("migrator.copy.indexes.SORTED", 10**6)
    moved = road("", setup="", copy={"index_memory": "300MB", "index_jobs": 1})
    small.load(moved.source, rows=10)
    moved.on_source(NOTING)
    moved.plan()
    moved.advance("replicating")
    assert moved.on_destination("select last_value from noted") == [(300 * MB,)]
