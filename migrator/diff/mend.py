"""Write proven rows on the side that follows, while the stream goes on and the application writes.

The publisher P serves, the subscriber S follows: only S is written to, P is only looked at. Both are looked
at in this order, D at S and R at P, with what must have happened between two looks:

    D0   every transaction of P that ran at D0 has ended
    R0   S has applied everything that R0 saw (the barrier)
    --   S's table is locked in ``share row exclusive`` mode, by the transaction that will write
    D1   every transaction of P that ran at D1 has ended
    R1   the rows are written, and the transaction commits

A key (or a content, where there is no key) is written only if D0 and D1 saw the same versions of its rows,
R0 and R1 did too, and both are what the comparison has proven. Then what is written is right:

- While the table is locked nothing else writes to it. The stream's worker takes ``row exclusive`` for each
  change, and whoever wants to write has a fence before him as well. It waits for our commit. Locked rows
  would not do: a worker finds no row that we have inserted and not committed, and passes over its update.
- What P committed up to R0 is applied before the lock is ours.
- Nothing that P committed later has been applied to these rows by then. It would have ended by R1, because
  of the wait after D1 (a commit may be applied before it can be seen), so R1 would have seen it; unless
  it has undone itself by then, as a row that came and went. A row that came after R0 and is there at D1 was
  there at D0, or else its version is none that D0 saw; and what was there at D0 R0 saw, because of the first
  wait. With a key, a row that came and went is removed once more by the worker, which finds nothing.

So S is where the stream left it after everything up to R0 and before everything later, and gets the rows of
R0. What follows is applied to them as on P. Nothing is stopped, so nothing must be started again: a run that
is killed leaves a transaction that the server takes back. What is none of this is left as it is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.diff.fix import deletion, exact, image, insertion
from migrator.diff.judge import NOTHING, Seen
from migrator.diff.visibility import await_older

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from threading import Event

    from migrator.diff.content import Content
    from migrator.diff.fix import Image
    from migrator.diff.judge import Values
    from migrator.diff.run import Difference
    from migrator.diff.units import Pair
    from migrator.pg.session import Query, ReadSession, WriteSession

LOCK = "lock table only {table} in share row exclusive mode"
PLACED = "array[t.ctid::text] || {values}"
REMOVE = "delete from only {table} where ctid = any ({places}::text[]::tid[])"
# Which of equal rows without a key are removed is all the same.
REMOVE_SOME = """delete from only {table}
where ctid = any (array(select t.ctid from only {table} t where {hash} = {wanted} limit {copies}))"""
AT_ONCE = 100


@dataclass
class Item:
    """A proven difference, and what was seen of it: R0 and D0, with the rows as both sides write them."""

    difference: Difference
    here: Seen = NOTHING
    there: Seen = NOTHING
    wanted: Image | None = None
    found: Image | None = None

    @property
    def is_as_proven(self) -> bool:
        """Return whether both sides have what the comparison has proven."""
        d = self.difference
        proven = (_rows(d.source, d.copies[0]), _rows(d.destination, d.copies[1]))
        return (self.here.rows, self.there.rows) == proven

    def forget_rows(self) -> None:
        """Keep what was seen, and not the rows."""
        self.wanted = self.found = None

    @property
    def missing(self) -> int:
        """Return how many copies of the wanted row are to be written."""
        return (self.here.rows - self.there.rows).total()

    @property
    def surplus(self) -> Counter[Values]:
        """Return what is to be removed."""
        return self.there.rows - self.here.rows


@dataclass
class Look:
    """One look at one item: the versions of its rows, and where on disk each is."""

    versions: Counter[tuple[str, Values]] = field(default_factory=Counter)
    places: list[tuple[Values, str]] = field(default_factory=list)

    @property
    def seen(self) -> Seen:
        """Return the versions."""
        return Seen(self.versions)


class Mender:
    """Mends tables through a reading session of the publisher and a writing one of the subscriber.

    ``unfenced`` lets the subscriber's transaction pass the fence. A wait ends when ``halted`` is set.
    """

    def __init__(
        self,
        publisher: ReadSession,
        subscriber: WriteSession,
        *,
        unfenced: Callable[[], AbstractContextManager[None]],
        now: Callable[[], float],
        halted: Event,
    ) -> None:
        self._publisher, self._subscriber = publisher, subscriber
        self._unfenced, self._now, self._halted = unfenced, now, halted

    def prepare(self, pair: Pair, differences: Sequence[Difference]) -> Iterator[list[Item]]:
        """Look at both sides; yield, some at a time, what is as it was proven, with the rows of both."""
        for begin in range(0, len(differences), AT_ONCE):
            items = [Item(d) for d in differences[begin : begin + AT_ONCE]]
            for item, look in zip(items, self._see(self._subscriber, pair, 1, items), strict=True):
                item.there = look.seen
            found = self._images(self._subscriber, pair, 1, items)
            if not await_older(self._publisher, self._halted, self._now):
                continue
            for item, look in zip(items, self._see(self._publisher, pair, 0, items), strict=True):
                item.here = look.seen
            wanted = self._images(self._publisher, pair, 0, items)
            for number, item in enumerate(items):
                item.wanted = _only(wanted[number], item.here)
                item.found = _only(found[number], item.there)
            yield [
                item
                for item in items
                if item.is_as_proven
                and (item.wanted is not None) == bool(item.here.versions)
                and (item.found is not None) == bool(item.there.versions)
            ]

    def mend(self, pair: Pair, items: Sequence[Item]) -> list[Item]:
        """Write the rows, after a barrier that came after ``prepare``; return those that were written.

        In one transaction. Raises StatementFailed, with nothing done, when the lock is not to be had in time
        or a row is refused.
        """
        session = self._subscriber
        with session.transaction(), self._unfenced():
            session.run(sql.SQL(LOCK).format(table=pair.other.identifier))
            there = self._see(session, pair, 1, items)
            if not await_older(self._publisher, self._halted, self._now):
                return []
            wanted = self._images(self._publisher, pair, 0, items)
            here = self._see(self._publisher, pair, 0, items)
            standing = []
            for number, item in enumerate(items):
                item.wanted = _only(wanted[number], item.here)
                if (
                    there[number].versions == item.there.versions
                    and here[number].versions == item.here.versions
                    and (item.wanted is not None) == bool(item.here.versions)
                ):
                    standing.append(number)
            self._remove(pair, [(items[n], there[n]) for n in standing])
            self._insert(pair, [items[n] for n in standing])
        return [items[n] for n in standing]

    def _remove(self, pair: Pair, found: Sequence[tuple[Item, Look]]) -> None:
        places = list[str]()
        for item, look in found:
            left = item.surplus
            for values, place in look.places:
                if left[values] > 0:
                    left[values] -= 1
                    places.append(place)
        if places:
            self._subscriber.run(
                sql.SQL(REMOVE).format(table=pair.other.identifier, places=sql.Literal(places))
            )

    def _insert(self, pair: Pair, items: Sequence[Item]) -> None:
        written: set[Image] = set()
        for item in items:
            # Keys that are one to the key's own operator lead to one row.
            if item.wanted is None or (pair.asked.key and item.wanted in written):
                continue
            written.add(item.wanted)
            for _ in range(item.missing):
                self._subscriber.run(insertion(pair, item.wanted))

    def _see(self, session: ReadSession, pair: Pair, number: int, items: Sequence[Item]) -> list[Look]:
        values = sql.SQL(PLACED).format(values=pair.asked.asked.values)
        looks = [Look() for _ in items]
        for row in session.rows(self._asked(pair, number, items, values)):
            place, *texts = row.values
            look = looks[row.number - 1]
            look.versions[row.xmin, tuple(texts)] += 1
            look.places.append((tuple(texts), place))
        return looks

    def _images(
        self, session: ReadSession, pair: Pair, number: int, items: Sequence[Item]
    ) -> list[set[tuple[str, Image]]]:
        """Return of each item its rows as literals, with who wrote them."""
        images: list[set[tuple[str, Image]]] = [set() for _ in items]
        with exact(session):
            for row in session.rows(self._asked(pair, number, items, image(pair, _side(pair, number)))):
                images[row.number - 1].add((row.xmin, tuple(row.values)))
        return images

    def _asked(self, pair: Pair, number: int, items: Sequence[Item], values: sql.Composed) -> Query:
        identities = [item.difference.identity for item in items]
        return pair.asked.now(_side(pair, number), identities, values=values)


def removals(pair: Pair, items: Sequence[Item]) -> Iterator[str]:
    """Yield what removes rows, for psql: those in the way, or with the variable ``undo`` those written."""
    yield from _either(partial(_removals, pair, items))


def insertions(pair: Pair, items: Sequence[Item]) -> Iterator[str]:
    """Yield what writes rows, for psql: those that are wanted, or with the variable ``undo`` those that were.

    It is for after the removals of the whole table, which leave unique values to others.
    """
    yield from _either(partial(_insertions, pair, items))


def _either(told: Callable[[bool], Iterator[str]]) -> Iterator[str]:
    yield "\\if :{?undo}"
    yield from told(True)
    yield "\\else"
    yield from told(False)
    yield "\\endif"


def _removals(pair: Pair, items: Sequence[Item], undo: bool) -> Iterator[str]:
    for item in items:
        away, copies = (item.here, item.missing) if undo else (item.there, item.surplus.total())
        if pair.asked.key and away.versions:
            yield _text(deletion(pair, item.difference.key))
        elif copies:
            yield _text(
                sql.SQL(REMOVE_SOME).format(
                    table=pair.other.identifier,
                    hash=pair.asked.asked.row,
                    wanted=sql.Literal(int(item.difference.identity[0])),
                    copies=sql.Literal(copies),
                )
            )


def _insertions(pair: Pair, items: Sequence[Item], undo: bool) -> Iterator[str]:
    written: set[Image] = set()
    for item in items:
        row, copies = (item.found, item.surplus.total()) if undo else (item.wanted, item.missing)
        if row is None or (pair.asked.key and row in written):
            continue
        written.add(row)
        for _ in range(copies):
            yield _text(insertion(pair, row))


def _text(statement: sql.Composed) -> str:
    return f"{statement.as_string()};"


def _side(pair: Pair, number: int) -> Content:
    return (pair.one, pair.other)[number]


def _rows(values: Values | None, copies: int) -> Counter[Values]:
    return Counter() if values is None else Counter({values: copies})


def _only(images: set[tuple[str, Image]], seen: Seen) -> Image | None:
    """Return the one row that all versions seen are, or None where there is none, or not one."""
    rows = {row for _, row in images}
    written = {xmin for xmin, _ in images} == {xmin for xmin, _ in seen.versions}
    return rows.pop() if len(rows) == 1 and written else None
