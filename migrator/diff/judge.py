"""Judge a suspect by what was seen of it on both sides, in turn, while the application writes on.

A suspect is a key, or a row's content where there is no key. Looks at the source (S) and at the destination
(D) alternate: S0 D0 S1 D1 S2 …; before each D the destination has applied all that the S before it saw, and
before each S all transactions have ended that ran at the D before it (they may have been applied before they
can be seen). So, of faithful sides:

- What stood on the source, the same versions of rows, at S0 and at S1, is on the destination at D0. Rows that
  lack there are proven missing.
- What stood on the destination at D0 and at D1 is on the source at S1. Rows that lack there are proven to
  be too many.
- D0 is what the source was at some moment between S0 and S1. Where it is what was seen then, the
  suspect is equal.

Versions are told by who wrote them (``xmin``): a row that was taken away and brought back is another one. A
difference is believed when it was proven twice. What is none of the three is looked at again.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

# The values of a row in the order of the columns' names; None is null.
Values = tuple[str | None, ...]
PROOFS = 2


class Verdict(StrEnum):
    """What is known of a suspect."""

    EQUAL = "equal"
    DIFFERENT = "different"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True)
class Seen:
    """One look at one side: the versions of a suspect's rows, each with the transaction that wrote it."""

    versions: Counter[tuple[str, Values]] = field(default_factory=Counter)

    @property
    def rows(self) -> Counter[Values]:
        """Return the rows, whoever wrote them."""
        found: Counter[Values] = Counter()
        for (_xmin, values), copies in self.versions.items():
            found[values] += copies
        return found

    def standing(self, later: Seen) -> Counter[Values]:
        """Return the rows that a later look at the same side sees in the same version."""
        return Seen(self.versions & later.versions).rows


NOTHING = Seen()


@dataclass
class Suspect:
    """What was seen of one suspect so far."""

    identity: tuple[str, ...]
    source: Seen = NOTHING
    destination: Seen | None = None
    proofs: int = 0
    verdict: Verdict = Verdict.UNRESOLVED
    # Whether the last look at the source came after all that ran at the last one at the destination.
    settled: bool = False

    def look(
        self, destination: Seen, after: Seen, between: tuple[Seen, ...] = (), *, settled: bool = True
    ) -> Verdict:
        """Judge by the next look at the destination and the one at the source after it.

        ``between`` are further looks at the source since the last one. ``settled`` is false where
        transactions that ran at the look at the destination may still be invisible on the source.
        """
        before, previous = self.source, self.destination
        here = destination.rows
        if any(here == seen.rows for seen in (before, *between, after)):
            self.verdict = Verdict.EQUAL
        else:
            missing = settled and before.standing(after) - here
            surplus = self.settled and previous and previous.standing(destination) - before.rows
            self.proofs += bool(missing or surplus)
            if self.proofs >= PROOFS:
                self.verdict = Verdict.DIFFERENT
        self.source, self.destination, self.settled = after, destination, settled
        return self.verdict
