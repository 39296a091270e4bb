"""Where the destination's sequences are set to, so that no value is ever given out twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from migrator.pg.catalog_sequences import Sequence
from migrator.switchover.sequences import Position, behind, is_behind, plan, shifted

if TYPE_CHECKING:
    from collections.abc import Iterator

BIGINT = 2**63 - 1
KEY = ("public", "s")


def sequence(
    *,
    start: int = 1,
    increment: int = 1,
    minimum: int = 1,
    maximum: int = BIGINT,
    cycle: bool = False,
) -> Sequence:
    return Sequence(16384, *KEY, start, increment, minimum, maximum, cycle)


UP = sequence()
DOWN = sequence(start=-1, increment=-1, minimum=-BIGINT - 1, maximum=-1)
ROUND = sequence(maximum=5, cycle=True)


@dataclass
class Server:
    """A sequence as PostgreSQL runs it."""

    sequence: Sequence
    value: int
    called: bool = False
    given: list[int] = field(default_factory=list)

    @property
    def position(self) -> Position:
        return Position(self.sequence, self.value, self.called)

    def set(self, position: Position) -> None:
        assert self.sequence.minimum <= position.value <= self.sequence.maximum
        self.value, self.called = position.value, position.called

    def draw(self, times: int) -> Iterator[int]:
        """Give out values until the limit is reached, as ``nextval`` does."""
        s = self.sequence
        for _ in range(times):
            following = self.value + s.increment if self.called else self.value
            if not s.minimum <= following <= s.maximum:
                if not s.cycle:
                    return
                following = s.minimum if s.increment > 0 else s.maximum
            self.value, self.called = following, True
            self.given.append(following)
            yield following


def planned(here: Position, there: Position, shift: int) -> Position | None:
    """Return what ``plan`` sets a destination at ``here`` to, for a source at ``there``."""
    found = plan({KEY: there}, {KEY: here}, shift)
    return found[0] if found else None


@st.composite
def sequences(draw: st.DrawFn, *, cycle: bool = False) -> Sequence:
    increment = draw(st.integers(-50, 50).filter(bool) | st.sampled_from([BIGINT, -BIGINT, 10**12]))
    low, high = sorted(draw(st.lists(st.integers(-2000, 2000), min_size=2, max_size=2, unique=True)))
    minimum = draw(st.sampled_from([low, -BIGINT - 1]))
    maximum = draw(st.sampled_from([high, BIGINT]))
    assume(abs(increment) <= maximum - minimum)
    start = draw(st.integers(max(minimum, -5000), min(maximum, 5000)))
    return sequence(start=start, increment=increment, minimum=minimum, maximum=maximum, cycle=cycle)


shifts = st.integers(0, 200) | st.sampled_from([1000, 2**62 - 1])
draws = st.integers(0, 60)


@given(sequences(), draws, draws, shifts)
def test_the_destination_never_gives_out_what_the_source_has_given_out(
    s: Sequence, drawn: int, drawn_before: int, shift: int
) -> None:
    source, destination = Server(s, s.start), Server(s, s.start)
    list(source.draw(drawn))
    list(destination.draw(drawn_before))
    wanted = planned(destination.position, source.position, shift)
    if wanted is not None:
        destination.set(wanted)
    assert not set(destination.draw(60)) & set(source.given)


@given(sequences(), draws, st.integers(0, 100), shifts)
def test_the_shift_covers_what_the_source_gives_out_meanwhile(
    s: Sequence, drawn: int, more: int, shift: int
) -> None:
    source, destination = Server(s, s.start), Server(s, s.start)
    list(source.draw(drawn))
    before = source.position
    wanted = planned(destination.position, before, shift)
    assume(wanted is not None and wanted != before)
    assert wanted is not None
    steps = abs(wanted.value - before.value) // abs(s.increment)
    list(source.draw(min(more, steps)))
    destination.set(wanted)
    assert not set(destination.draw(60)) & set(source.given)


@given(sequences() | sequences(cycle=True), draws, shifts)
def test_no_position_is_outside_the_limits_or_off_the_grid(s: Sequence, drawn: int, shift: int) -> None:
    source = Server(s, s.start)
    list(source.draw(drawn))
    found = shifted(source.position, shift)
    assert s.minimum <= found.value <= s.maximum
    assert (found.value - source.value) % abs(s.increment) == 0
    assert (found.value - source.value) * s.increment >= 0
    assert found.called == source.called


@given(sequences() | sequences(cycle=True), draws, draws, shifts)
def test_after_the_plan_nothing_is_behind_and_a_second_plan_is_empty(
    s: Sequence, drawn: int, drawn_before: int, shift: int
) -> None:
    source, destination = Server(s, s.start), Server(s, s.start)
    list(source.draw(drawn))
    list(destination.draw(drawn_before))
    wanted = planned(destination.position, source.position, shift)
    if wanted is not None:
        destination.set(wanted)
    assert behind({KEY: source.position}, {KEY: destination.position}) == []
    assert planned(destination.position, source.position, shift) is None


@given(sequences(), draws, draws, shifts)
def test_a_sequence_is_never_set_backwards(s: Sequence, drawn: int, ahead: int, shift: int) -> None:
    source, destination = Server(s, s.start), Server(s, s.start)
    list(source.draw(drawn))
    list(destination.draw(ahead))
    wanted = planned(destination.position, source.position, shift)
    if wanted is not None:
        assert (wanted.next - destination.position.next) * s.increment > 0


@pytest.mark.parametrize(
    ("here", "there"),
    [
        (Position(UP, 7, False), Position(UP, 6, True)),
        (Position(DOWN, -7, False), Position(DOWN, -6, True)),
    ],
)
def test_positions_that_give_the_same_value_next_are_level(here: Position, there: Position) -> None:
    assert here.next == there.next
    assert not is_behind(here, there)
    assert not is_behind(there, here)


@pytest.mark.parametrize(
    ("source", "destination", "shift", "wanted"),
    [
        pytest.param((UP, 40, True), (UP, 1, False), 1000, (1040, True), id="up"),
        pytest.param((DOWN, -40, True), (DOWN, -1, False), 1000, (-1040, True), id="down"),
        pytest.param((UP, 40, True), (UP, 1, False), 0, (40, True), id="no shift"),
        pytest.param((UP, 40, True), (UP, 1040, True), 1000, None, id="already there"),
        pytest.param((UP, 40, True), (UP, 5000, True), 1000, None, id="ahead"),
        pytest.param((DOWN, -40, True), (DOWN, -5000, True), 1000, None, id="ahead downwards"),
        pytest.param((UP, 1, False), (UP, 1, False), 0, None, id="never called, no shift"),
        pytest.param((UP, 1, False), (UP, 1, False), 1000, (1001, False), id="never called"),
        pytest.param((UP, 9, False), (UP, 1, False), 0, (9, False), id="set and not called"),
    ],
)
def test_the_plan_is_the_sources_position_plus_the_shift(
    source: tuple[Sequence, int, bool],
    destination: tuple[Sequence, int, bool],
    shift: int,
    wanted: tuple[int, bool] | None,
) -> None:
    found = planned(Position(*destination), Position(*source), shift)
    assert (found and (found.value, found.called)) == wanted


def test_a_shift_is_rounded_up_to_whole_increments() -> None:
    assert shifted(Position(sequence(increment=7), 1, True), 10).value == 15
    assert shifted(Position(sequence(start=9, increment=-7, minimum=-99, maximum=9), 9, True), 10).value == -5


def test_near_its_limit_a_sequence_gives_up_half_of_what_is_left_at_most() -> None:
    small = sequence(maximum=100)
    assert shifted(Position(small, 90, True), 1000).value == 95
    assert shifted(Position(small, 99, True), 1000).value == 99
    assert shifted(Position(small, 100, True), 1000).value == 100


def test_an_exhausted_sequence_is_exhausted_on_the_destination_too() -> None:
    small = sequence(maximum=100)
    destination = Server(small, 1)
    wanted = planned(destination.position, Position(small, 100, True), 1000)
    assert wanted is not None
    destination.set(wanted)
    assert list(destination.draw(1)) == []


def test_a_cycling_sequence_goes_where_the_source_is_even_backwards() -> None:
    assert planned(Position(ROUND, 5, True), Position(ROUND, 2, True), 0) == Position(ROUND, 2, True)


def test_a_cycling_sequence_counts_as_behind_only_while_it_was_never_set() -> None:
    there = Position(ROUND, 2, True)
    assert behind({KEY: there}, {KEY: Position(ROUND, 1, False)}) == [there]
    assert behind({KEY: there}, {KEY: Position(ROUND, 5, True)}) == []
    assert behind({KEY: Position(ROUND, 1, False)}, {KEY: Position(ROUND, 5, True)}) == []


def test_a_cycling_sequence_that_was_never_called_is_not_shifted() -> None:
    assert planned(Position(ROUND, 1, False), Position(ROUND, 1, False), 1000) is None


def test_a_sequence_that_the_destination_does_not_have_is_behind_and_planned() -> None:
    there = Position(UP, 3, True)
    assert behind({KEY: there}, {}) == [there]
    assert plan({KEY: there}, {}, 0) == [there]
