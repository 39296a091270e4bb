"""What a comparison has proven different of a table, as far as it is to be repaired."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.diff.content import Name
    from migrator.diff.run import Difference
    from migrator.diff.units import Pair

# Above so many differing rows a table is copied again as a whole; above fewer where they are most of it.
MOST_ROWS, MANY_ROWS = 10_000, 1000


@dataclass(frozen=True)
class Proven:
    """A table's proven differences; there are ``more`` than were named. ``definition`` is as compared.

    ``size`` is how many rows the table has on the side that serves, as far as it is known.
    """

    name: Name
    label: str
    definition: str
    differences: tuple[Difference, ...]
    more: bool
    size: int

    @property
    def whole(self) -> bool:
        """Return whether it is to be copied again rather than repaired row by row."""
        rows = sum(max(abs(d.copies[0] - d.copies[1]), 1) for d in self.differences)
        return self.more or rows > MOST_ROWS or (rows > MANY_ROWS and 2 * rows > self.size)


def definition(pair: Pair) -> str:
    """Return a text that is another one when a table has been altered, rewritten or truncated."""
    sides = [
        (table.columns, [(part.oid, part.file) for part in table.parts]) for table in (pair.one, pair.other)
    ]
    return sha256(repr((sides, pair.asked.key)).encode()).hexdigest()[:16]
