"""What three counts prove of a table, over every history that a stream can have."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from migrator.diff.looks import Count, Look, Verdict

# The same row in another version is another row here, as it is another tuple to the servers.
Row = int
ROWS = 4


@dataclass
class History:
    """The states of a publisher's table, one after each commit, and how far its subscriber has come."""

    lost: bool
    surplus: int
    states: list[frozenset[Row]] = field(default_factory=lambda: [frozenset(range(ROWS))])
    applied: int = 0

    def commit(self, inserts: int, delete: bool) -> None:
        newest = self.states[-1]
        gone = {min(newest)} if delete and newest else set()
        first = 100 + 10 * len(self.states)
        self.states.append(newest - gone | set(range(first, first + inserts)))

    def subscriber(self) -> frozenset[Row]:
        extra = frozenset(range(-self.surplus, 0))
        return self.states[self.applied] - (frozenset({ROWS - 1}) if self.lost else frozenset()) | extra


COMMITS = st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=4)


def look(history: History, moves: list[list[tuple[int, bool]]], delays: list[int]) -> Look:
    """Look at a table while commits and their arrival go on between any two moments of the look."""

    def happen(at_least: int) -> None:
        for commit in moves.pop():
            history.commit(*commit)
        ahead = len(history.states) - 1 - history.applied
        history.applied = max(history.applied + min(delays.pop(), ahead), at_least)

    happen(0)
    start = len(history.states) - 1
    known = history.states[start]
    happen(start)
    stood = history.subscriber()
    happen(0)
    before = history.subscriber()
    happen(0)
    newest = len(history.states) - 1
    rows = history.states[newest]
    between = Count(len(rows), len(rows & known))
    happen(newest)
    last = history.subscriber()
    return Look(len(before), between, Count(len(last), len(last & stood)))


HISTORIES = (
    st.lists(COMMITS, min_size=5, max_size=5),
    st.lists(st.integers(0, 6), min_size=5, max_size=5),
)


@settings(max_examples=400)
@given(*HISTORIES)
def test_what_a_stream_has_carried_is_never_said_to_differ(
    moves: list[list[tuple[int, bool]]], delays: list[int]
) -> None:
    assert look(History(False, 0), moves, delays).verdict is not Verdict.DIFFERS


@settings(max_examples=400)
@given(*HISTORIES, st.booleans(), st.integers(0, 2))
def test_counts_that_differ_are_never_said_to_be_equal(
    moves: list[list[tuple[int, bool]]], delays: list[int], lost: bool, surplus: int
) -> None:
    history = History(lost, surplus)
    if look(history, moves, delays).verdict is Verdict.EQUAL:
        assert len(history.subscriber()) == len(history.states[history.applied])


@given(st.lists(st.integers(0, 6), min_size=5, max_size=5), st.booleans(), st.integers(0, 2))
def test_a_table_at_rest_is_equal_or_differs_at_once(delays: list[int], lost: bool, surplus: int) -> None:
    found = look(History(lost, surplus), [[] for _ in range(5)], delays)
    assert found.verdict is (Verdict.EQUAL if lost == surplus else Verdict.DIFFERS)
    assert (found.missing, found.surplus) == (max(lost - surplus, 0), max(surplus - lost, 0))


def test_rows_that_come_and_go_do_not_hide_what_is_missing_of_the_others() -> None:
    assert Look(8, Count(12, 9), Count(12, 8)).missing == 1
    assert Look(8, Count(12, 8), Count(12, 8)).verdict is Verdict.MOVING


def test_a_row_that_goes_during_the_look_does_not_hide_one_too_many() -> None:
    assert Look(5, Count(4, 4), Count(4, 4)).verdict is Verdict.MOVING
