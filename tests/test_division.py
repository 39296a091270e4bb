"""How tables are divided over streams: together what is tied, and no stream much fuller than another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from migrator.switchover.division import divide, groups

if TYPE_CHECKING:
    from collections.abc import Mapping

TABLES = st.dictionaries(st.integers(1, 40), st.integers(0, 10**12), max_size=30)
# Ties may lead through tables that are in no stream: partitioned roots, unlogged ones.
TIES = st.lists(st.tuples(st.integers(1, 60), st.integers(1, 60)), max_size=30)
STREAMS = st.integers(1, 16).map(lambda count: range(1, count + 1))


def loads(sizes: Mapping[int, int], stream_of: Mapping[int, int], streams: range) -> list[int]:
    return [sum(sizes[t] + 1 for t in sizes if stream_of[t] == s) for s in streams]


@given(TABLES, TIES, STREAMS)
def test_every_table_is_in_one_stream_and_tied_ones_in_the_same(
    sizes: dict[int, int], ties: list[tuple[int, int]], streams: range
) -> None:
    stream_of = divide(sizes, ties, streams)
    assert stream_of.keys() == sizes.keys()
    assert set(stream_of.values()) <= set(streams)
    for one, other in ties:
        if one in sizes and other in sizes:
            assert stream_of[one] == stream_of[other]


@given(TABLES, TIES)
def test_the_groups_are_the_connected_ones(sizes: dict[int, int], ties: list[tuple[int, int]]) -> None:
    reach = {node: {node} for node in {*sizes, *(n for tie in ties for n in tie)}}
    for _ in reach:
        for one, other in ties:
            reach[one] = reach[other] = reach[one] | reach[other]
            for node in reach[one]:
                reach[node] = reach[one]
    expected = {frozenset(reach[table] & sizes.keys()) for table in sizes}
    found = groups(sizes, ties)
    assert {frozenset(group) for group in found} == expected
    assert len(found) == len(expected)


@given(TABLES, TIES, STREAMS)
def test_no_stream_is_fuller_than_another_by_more_than_its_smallest_group(
    sizes: dict[int, int], ties: list[tuple[int, int]], streams: range
) -> None:
    stream_of = divide(sizes, ties, streams)
    full = loads(sizes, stream_of, streams)
    for stream in streams:
        mine = [g for g in groups(sizes, ties) if stream_of[g[0]] == stream]
        if mine:
            smallest = min(sum(sizes[t] + 1 for t in group) for group in mine)
            assert full[stream - 1] - smallest <= min(full)


@given(TABLES, TIES, STREAMS)
def test_the_first_streams_are_used_and_as_many_as_there_are_groups(
    sizes: dict[int, int], ties: list[tuple[int, int]], streams: range
) -> None:
    used = set(divide(sizes, ties, streams).values())
    assert used == set(streams[: len(groups(sizes, ties))])


@given(TABLES, TIES, STREAMS, st.randoms())
def test_the_order_in_which_tables_and_ties_are_told_does_not_matter(
    sizes: dict[int, int], ties: list[tuple[int, int]], streams: range, dice: object
) -> None:
    shuffled, turned = list(sizes.items()), [(b, a) for a, b in ties]
    dice.shuffle(shuffled)  # type: ignore[attr-defined]
    dice.shuffle(turned)  # type: ignore[attr-defined]
    assert divide(dict(shuffled), turned, streams) == divide(sizes, ties, streams)


@given(TABLES, TIES, STREAMS, st.data())
def test_tables_that_are_placed_stay_and_draw_what_is_tied_to_them(
    sizes: dict[int, int], ties: list[tuple[int, int]], streams: range, data: st.DataObject
) -> None:
    old = data.draw(st.lists(st.sampled_from(sorted(sizes)), unique=True)) if sizes else []
    placed = {table: data.draw(st.sampled_from(streams)) for table in old}
    stream_of = divide(sizes, ties, streams, placed)
    assert {table: stream_of[table] for table in placed} == placed
    for group in groups(sizes, ties):
        there = {placed[t] for t in group if t in placed}
        new = {stream_of[t] for t in group if t not in placed}
        assert len(new) <= 1
        if there:
            assert new <= there


def test_a_new_table_that_nothing_is_tied_to_comes_to_the_least_loaded_stream() -> None:
    assert divide({1: 500, 2: 100, 3: 10}, [], (1, 2), {1: 1, 2: 2}) == {1: 1, 2: 2, 3: 2}


def test_a_group_in_several_streams_draws_a_new_table_to_where_most_of_it_is() -> None:
    ties = [(1, 4), (2, 4), (3, 4)]
    assert divide({1: 5, 2: 500, 3: 5, 4: 1}, ties, (1, 2, 3), {1: 1, 2: 2, 3: 3})[4] == 2
