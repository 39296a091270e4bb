"""Cut tables into units, each compared by itself: the whole table, or a range of its key.

A large table whose leading key column lies in the order of the file is cut into ranges of that column, the
same on both sides. Any other is one unit, which each side reads in slices of its own file at the same time:
a row may lie anywhere, so the slices' sums are added before they are compared, all seen by one snapshot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.copy.pieces import even, ranges
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import sql

    from migrator.diff.content import Content
    from migrator.diff.questions import Questions
    from migrator.pg.session import ReadSession

# The bounds of the histogram's equal shares, in the key's own order, as text. Not of a key whose order is a
# collation's, which the other side may have otherwise.
BOUNDS = """
select a.attname::text as column,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
       s.histogram_bounds::text::text[] as bounds
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attname = %s
join pg_catalog.pg_stats s
  on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname and not s.inherited
where c.oid = %s
  and s.histogram_bounds is not null
  and abs(s.correlation) >= 0.9
  and a.attcollation = 0
  and a.atttypid < 16384
"""
# In blocks: what is compared whole, and how large a range or a slice is to be.
WHOLE, PIECE = 131_072, 65_536


@dataclass(frozen=True, eq=False)
class Pair:
    """A table of both sides."""

    one: Content
    other: Content
    asked: Questions

    @property
    def label(self) -> str:
        """Return the table's name for people."""
        return self.one.label


@dataclass(frozen=True, eq=False)
class Unit:
    """A part of a table: ``where`` is its condition on both sides, the slices those of each side's scans.

    ``bounds`` are what to keep of a range, so that another run can make the same.
    """

    pair: Pair
    number: int = 0
    of: int = 1
    where: sql.Composable | None = None
    slices: tuple[tuple[sql.Composable | None, ...], tuple[sql.Composable | None, ...]] = ((None,), (None,))
    bounds: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Return the unit's name for people."""
        return self.pair.label + (f" ({self.number + 1} of {self.of})" if self.of > 1 else "")

    @property
    def pages(self) -> int:
        """Return its estimated size in blocks."""
        return sum(part.pages for part in self.pair.one.parts) // self.of

    def scans(self, number: int) -> list[tuple[Content, sql.Composable | None]]:
        """Return what a side, 0 the source and 1 the destination, is to read: tables with conditions."""
        table = (self.pair.one, self.pair.other)[number]
        if self.where is not None or table.members:
            return [(part, self.where) for part in table.parts]
        return [(table, where) for where in self.slices[number]]


def cut(source: ReadSession, pair: Pair, versions: list[int], known: Sequence[str] = ()) -> list[Unit]:
    """Return the units of a table; ``known`` are the bounds, with column and type, that another run kept."""
    pages = max(pair.one.pages, pair.other.pages)
    if pair.one.members or pair.other.members or (pages <= WHOLE and not known):
        return [Unit(pair)]
    found = list(known) or _bounds(source, pair, pages)
    if found:
        column, type_name, *bounds = found
        conditions = ranges(column, type_name, bounds)
        return [
            Unit(pair, number, len(conditions), where, bounds=tuple(found))
            for number, where in enumerate(conditions)
        ]
    if all(has(v, Feature.TID_RANGE_SCAN) for v in versions):
        return [Unit(pair, slices=(_slices(pair.one), _slices(pair.other)))]
    return [Unit(pair)]


def _bounds(source: ReadSession, pair: Pair, pages: int) -> list[str]:
    if not pair.asked.key:
        return []
    leading = pair.asked.key[0]
    if {c.type for c in pair.one.columns if c.name == leading} != {
        c.type for c in pair.other.columns if c.name == leading
    }:
        return []
    row = source.row(BOUNDS, [leading, pair.one.oid])
    if row is None:
        return []
    inner = [row.bounds[n] for n in even(len(row.bounds) - 1, -(-pages // PIECE))]
    return [row.column, row.type, *inner]


def _slices(table: Content) -> tuple[sql.Composable | None, ...]:
    pieces = max(-(-table.pages // PIECE), 1)
    return tuple(ranges("ctid", "tid", [f"({block},0)" for block in even(table.pages, pieces)]))
