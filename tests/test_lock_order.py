"""The fence locks in the order in which the application does, which it learns from who queues behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from migrator.events import StepNote
from migrator.switchover.lock_order import arrange
from tests.fixtures.road import meeting_the_fence

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from tests.fixtures.road import Road

OIDS = st.permutations(range(12))


@given(OIDS, OIDS, st.lists(st.tuples(st.integers(0, 11), st.integers(0, 11))))
def test_the_first_of_each_pair_is_locked_before_the_second(
    tables: list[int], application: list[int], drawn: list[tuple[int, int]]
) -> None:
    # An application that always locks in the same order.
    pairs = {tuple(sorted(pair, key=application.index)) for pair in drawn if pair[0] != pair[1]}
    arranged = arrange(tables, pairs)  # type: ignore[arg-type]
    assert sorted(arranged) == sorted(tables)
    assert all(arranged.index(first) < arranged.index(then) for first, then in pairs)


@given(OIDS, st.sets(st.tuples(st.integers(0, 20), st.integers(0, 20))))
def test_whatever_was_seen_every_table_is_locked_once(tables: list[int], pairs: set[tuple[int, int]]) -> None:
    assert sorted(arrange(tables, pairs)) == sorted(tables)


def test_what_nothing_is_known_of_stays_as_it_was() -> None:
    assert arrange([3, 1, 2, 5, 4], {(4, 1), (9, 2), (3, 9)}) == [3, 4, 1, 2, 5]


def test_a_long_chain_is_put_in_order() -> None:
    backwards = list(range(5000, 0, -1))
    assert arrange(backwards, {(n, n + 1) for n in range(1, 5000)}) == sorted(backwards)


def test_a_rehearsal_learns_in_which_order_the_application_locks(
    road: Callable[..., Road], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"attempts": 3, "lock_timeout": "2s"})
    notes: list[str] = []

    def hear(event: Any) -> None:
        if isinstance(event, StepNote):
            notes.append(event.text)

    monkeypatch.setattr(moved.app, "emit", hear)

    def meet(work: Callable[[], object]) -> list[str]:
        """Do ``work`` while an application has written to products and comes to customers."""
        notes.clear()
        with meeting_the_fence(moved.source, monkeypatch) as failed:
            work()
        assert failed == []
        return [note for note in notes if "the fence gave way" in note]

    assert len(meet(moved.app.rehearse)) == 1
    assert meet(lambda: moved.advance("cutover")) == []
    moved.complete()
