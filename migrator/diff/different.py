"""Find the rows of a table that differ on two snapshots: suspects by their hashes, the verdict on values."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.diff.questions import has_null
from migrator.diff.scan import buckets_for, copies_of, first_buckets, unlike

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.diff.content import Content
    from migrator.diff.questions import Question, Questions
    from migrator.report_diff import Identity

    Ask = Callable[[Question, Content, Content], tuple[list[Any], list[Any]]]

# Rows asked for at once, and how many suspects are looked at whose values turn out the same. Where there is
# no key each question reads the whole table, so that there is one.
AT_ONCE, LOOKED_AT, WITHOUT_KEY = 500, 100_000, 10_000
# How wide a row is told.
WIDTH = 200

Values = tuple[str | None, ...]
# Rows by their identity (where there is no key, by nothing) and their values.
Rows = Counter[tuple[tuple[str, ...], Values]]


@dataclass(frozen=True)
class Different:
    """Rows that differ, the first that are found, in words; whether there may be ``more``."""

    rows: tuple[str, ...] = ()
    more: bool = False


class Finder:
    """Looks at the rows of one table of both sides. ``ask`` puts a question to both."""

    def __init__(self, asked: Questions, one: Content, other: Content, ask: Ask, sides: list[str]) -> None:
        self._asked, self._one, self._other = asked, one, other
        self._of_both, self._sides = ask, sides

    def find(self, rows: int, most: int) -> Different:
        """Return ``most`` rows that differ at most, of a table that has so many rows on the larger side."""
        here, there = Rows(), Rows()
        looked = 0
        for suspects in self._suspects(buckets_for(rows)):
            looked += len(suspects)
            if has_null(suspects):
                return Different(self._told(here, there, most), more=True)
            mine, theirs = self._values(suspects)
            here, there = here + mine, there + theirs
            here, there = here - there, there - here
            if len(_identities(here, there)) > most and self._asked.key:
                break
            if looked >= (LOOKED_AT if self._asked.key else WITHOUT_KEY):
                return Different(self._told(here, there, most), more=True)
        return Different(self._told(here, there, most), len(_identities(here, there)) > most)

    def settle(self, rows: tuple[Identity, ...]) -> tuple[int, int]:
        """Return how many of some rows, given by key or hash, are equal, and how many are not.

        A hash that is on neither side says nothing: it may be of another function.
        """
        usable = [row for row in rows if len(row) == max(len(self._asked.key), 1)]
        equal = different = 0
        for begin in range(0, len(usable), AT_ONCE):
            for mine, theirs in zip(*self._by_number(usable[begin : begin + AT_ONCE]), strict=True):
                different += mine != theirs
                equal += mine == theirs and bool(mine or self._asked.key)
        return equal, different

    def _suspects(self, count: int) -> Iterator[list[Identity]]:
        """Yield the rows whose hashes are not the same, some at a time."""
        sums = [
            {row.bucket: (row.rows, row.digest) for row in rows}
            for rows in self._ask(partial(self._asked.buckets, count=count))
        ]
        left = sorted(b for b in sums[0].keys() | sums[1].keys() if sums[0].get(b) != sums[1].get(b))
        at_once = AT_ONCE if self._asked.key else WITHOUT_KEY
        held: list[Identity] = []
        while left:
            chosen, _more = first_buckets(left, *sums)
            left = left[len(chosen) :]
            here, there = (
                copies_of([rows])
                for rows in self._ask(partial(self._asked.rows, count=count, buckets=chosen))
            )
            held += unlike(here, there, keyed=bool(self._asked.key))
            while len(held) >= at_once or (held and not left):
                yield held[:at_once]
                held = held[at_once:]

    def _values(self, wanted: list[Identity]) -> tuple[Rows, Rows]:
        mine, theirs = Rows(), Rows()
        for side, found in zip((mine, theirs), self._by_number(wanted), strict=True):
            for identity, rows in zip(wanted, found, strict=True):
                for values, copies in rows.items():
                    side[identity if self._asked.key else (), values] += copies
        return mine, theirs

    def _by_number(self, wanted: list[Identity]) -> tuple[list[Counter[Values]], list[Counter[Values]]]:
        """Return the rows of each of the wanted, on both sides."""
        here, there = ([Counter[Values]() for _ in wanted] for _ in self._sides)
        for side, rows in zip((here, there), self._ask(partial(self._asked.now, wanted=wanted)), strict=True):
            for row in rows:
                side[row.number - 1][tuple(row.values)] += row.copies
        return here, there

    def _ask(self, question: Question) -> tuple[list[Any], list[Any]]:
        return self._of_both(question, self._one, self._other)

    def _told(self, here: Rows, there: Rows, most: int) -> tuple[str, ...]:
        name = f"({', '.join(self._asked.key)})" if self._asked.key else "row"
        mine, theirs = _identities(here), _identities(there)
        told = []
        for identity in sorted(mine | theirs, key=lambda texts: [text or "" for text in texts])[:most]:
            if identity in mine and identity in theirs:
                how = "differs"
            else:
                how = f"is only on the {self._sides[identity in theirs]}"
            text = f"({','.join(value or '' for value in identity)})"
            told.append(f"{name}={text[:WIDTH]} {how}")
        return tuple(told)


def _identities(*sides: Rows) -> set[Values]:
    """Return what tells rows apart: their keys, or where there is none their values."""
    return {identity or values for rows in sides for identity, values in rows}
