"""Of faithful sides the judge believes no difference, whatever is written; and of others it finds each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from migrator.diff.judge import Seen, Suspect, Verdict

if TYPE_CHECKING:
    from migrator.diff.judge import Values

# A history of one suspect: what each transaction left of it, by whom each row was written.
State = Counter[tuple[str, "Values"]]
ROWS = st.sampled_from([("a",), ("b",), (None,)])


@st.composite
def histories(draw: st.DrawFn, *, most: int) -> list[State]:
    """Transactions on up to ``most`` rows of a suspect; rows that stay keep their writer."""
    state: State = Counter()
    found = [state]
    for number in range(1, draw(st.integers(1, 12))):
        kept = Counter({version: 1 for version in state if draw(st.booleans())})
        new = draw(st.lists(ROWS, max_size=most - len(kept)))
        state = kept + Counter({(f"{number}.{place}", row): 1 for place, row in enumerate(new)})
        found.append(state)
    return found


@st.composite
def looks(draw: st.DrawFn, last: int) -> list[int]:
    """Moments in a history at which the source and the destination are looked at in turn."""
    return sorted(draw(st.lists(st.integers(0, last), min_size=11, max_size=11)))


def judged(source: list[State], destination: list[State], moments: list[int]) -> Verdict:
    """Look at S0 D0 S1 D1 … until the judge knows."""
    suspect = Suspect(("key",), source=Seen(source[moments[0]]))
    for there, here in zip(moments[1::2], moments[2::2], strict=True):
        if suspect.verdict is Verdict.UNRESOLVED:
            suspect.look(Seen(destination[there]), Seen(source[here]))
    return suspect.verdict


@given(st.data(), st.integers(1, 3))
def test_faithful_sides_are_never_different(data: st.DataObject, most: int) -> None:
    history = data.draw(histories(most=most))
    # The destination's rows are written by transactions of its own.
    copied = [Counter({(f"d{who}", row): n for (who, row), n in state.items()}) for state in history]
    moments = data.draw(looks(len(history) - 1))
    assert judged(history, copied, moments) is not Verdict.DIFFERENT


@given(st.data(), st.integers(1, 3))
def test_sides_that_stand_still_are_told_by_what_they_hold(data: st.DataObject, most: int) -> None:
    here, there = (data.draw(histories(most=most))[-1] for _ in range(2))
    verdict = judged([here] * 11, [there] * 11, list(range(11)))
    same = Seen(here).rows == Seen(there).rows
    assert verdict is (Verdict.EQUAL if same else Verdict.DIFFERENT)


def test_what_may_be_invisible_on_the_source_proves_nothing() -> None:
    here, there = Seen(Counter({("1", ("a",)): 1})), Seen()
    suspect = Suspect(("key",), source=here)
    for _ in range(5):
        assert suspect.look(there, here, settled=False) is Verdict.UNRESOLVED
    assert suspect.look(there, here) is Verdict.UNRESOLVED
    assert suspect.look(there, here) is Verdict.DIFFERENT


def test_a_row_that_is_never_still_is_equal_when_one_of_its_moments_is_met() -> None:
    versions = [Seen(Counter({(str(n), (str(n),)): 1})) for n in range(4)]
    suspect = Suspect(("key",), source=versions[0])
    assert suspect.look(versions[1], versions[2]) is Verdict.UNRESOLVED
    assert suspect.look(versions[3], versions[0], (versions[3],)) is Verdict.EQUAL
