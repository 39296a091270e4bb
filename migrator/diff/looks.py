"""Count the rows of tables on both sides of a stream while the application writes on.

Two counts taken at two moments say nothing of a table that is written to. So each look at a table is
three counts, and of each but the first it is known how many of the rows have stood untouched since
before the first (their ``xmin`` is older than every transaction that ran then):

1. The publisher's horizon is taken; the subscriber has then applied everything up to it.
2. The subscriber counts: ``before``.
3. The publisher counts: ``between``. The subscriber has then applied everything that this count saw.
4. The subscriber counts again: ``after``.

The publisher's untouched rows stood there all the while, so they are among ``before``; the subscriber's
stood there all the while, so they are among ``between``. Where either is not so, rows are missing or too
many, however much is written meanwhile. Where all rows of both sides are untouched and ``before`` is
``after``, nothing has come or gone: the counts are of one and the same moment, and equal or not. In
between nothing can be said, and the table is looked at again. What is counted is rows, not what is in
them: a row too many hides one that is missing.

A commit is streamed a moment before it can be seen on the publisher itself (it may wait for a synchronous
standby meanwhile). So a difference is believed at a second look only, whose ``between`` waits until the
transactions that were running after ``before`` have ended.

The subscriber is counted twice, because the publisher is the one that serves. No index is enough for it:
every row's ``xmin`` is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a look says of a table."""

    EQUAL = "equal"
    DIFFERS = "differs"
    MOVING = "moving"


@dataclass(frozen=True)
class Count:
    """How many rows a table has, and how many of these have stood untouched since before the look."""

    rows: int
    untouched: int


@dataclass(frozen=True)
class Look:
    """One table's three counts: the subscriber's, the publisher's, and the subscriber's again."""

    before: int
    between: Count
    after: Count

    @property
    def missing(self) -> int:
        """Return how many rows at least are on the publisher and not on the subscriber."""
        return max(self.between.untouched - self.before, 0)

    @property
    def surplus(self) -> int:
        """Return how many rows at least are on the subscriber and not on the publisher."""
        return max(self.after.untouched - self.between.rows, 0)

    @property
    def verdict(self) -> Verdict:
        """Return what the counts prove."""
        if self.missing or self.surplus:
            return Verdict.DIFFERS
        untouched = self.between.untouched == self.between.rows and self.after.untouched == self.after.rows
        return Verdict.EQUAL if untouched and self.before == self.after.rows else Verdict.MOVING
