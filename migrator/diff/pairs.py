"""Put the tables of both sides together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from migrator.diff.content import Content, Name, contents
from migrator.diff.questions import Questions
from migrator.diff.row_hash import RowHash
from migrator.diff.snapshots import Reader
from migrator.diff.units import Pair, Unit, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession


@dataclass(frozen=True)
class Wanted:
    """A table to compare; ``members`` are the partitions of each side where they are not alike."""

    name: Name
    members: tuple[tuple[Name, ...], tuple[Name, ...]] = ((), ())


class Pairs:
    """What both sides have of tables, and how to ask for it. The context's source is the publisher."""

    def __init__(self, ctx: ReadContext) -> None:
        self._both = Reader(ctx.source, ctx.destination)
        self.language = RowHash(self._both)
        self._wanted: dict[str, Wanted] = {}

    def find(self, wanted: Sequence[Wanted]) -> tuple[list[Pair], dict[str, str]]:
        """Return the tables that can be compared, and of the others why they cannot, by label."""
        here, there = (_contents(session, wanted, number) for number, session in enumerate(self._both))
        found, refused = list[Pair](), dict[str, str]()
        for table in wanted:
            one, other = here.get(table.name), there.get(table.name)
            label = (one or other or _nobody(table.name)).label
            self._wanted[label] = table
            if one is None or other is None:
                side = (self._both.source if one is None else self._both.destination).side
                refused[label] = f"the {side} does not have it"
            elif differing := different_columns(one, other):
                refused[label] = f"the columns are not the same: {differing}"
            else:
                found.append(Pair(one, other, Questions.about(self.language, one, other)))
        return found, refused

    def units(self, pair: Pair, known: Sequence[str] = ()) -> list[Unit]:
        """Cut a table; ``known`` are the bounds that another run kept."""
        return cut(self._both.source, pair, [session.version for session in self._both], known)

    def renewed(self, unit: Unit) -> Unit:
        """Return a unit of the table as it is now; the same one where it cannot be compared any more."""
        pairs, _refused = self.find([self._wanted[unit.pair.label]])
        if not pairs:
            return unit
        if unit.where is not None:
            return replace(unit, pair=pairs[0])
        cuts = self.units(pairs[0])
        return cuts[0] if len(cuts) == 1 else Unit(pairs[0], unit.number, unit.of)


def different_columns(one: Content, other: Content) -> str:
    """Name the columns that only one of two tables has."""
    return ", ".join(sorted({c.name for c in one.columns} ^ {c.name for c in other.columns}))


def _contents(session: ReadSession, wanted: Sequence[Wanted], number: int) -> dict[Name, Content]:
    names = [table.name for table in wanted]
    members = [name for table in wanted for name in table.members[number]]
    found = contents(session, names + members)
    for table in wanted:
        if table.members[number] and table.name in found:
            parts = tuple(found[name] for name in table.members[number] if name in found)
            found[table.name] = replace(found[table.name], members=parts)
    return found


def _nobody(name: Name) -> Content:
    return Content(*name, oid=0, file=0, pages=0, columns=(), key=())
