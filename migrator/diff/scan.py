"""Scan a unit on both sides of one snapshot, and find the rows that are suspects, moving no equal ones.

Both sides are summed. Where the sums differ, buckets of the key are; of the buckets that differ, keys and
hashes are fetched. A suspect is a key whose hash is not the same, or a row's hash whose count is not.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from migrator.diff.questions import NULL_KEY, has_null
from migrator.errors import StatementFailed

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg import sql

    from migrator.diff.content import Content
    from migrator.diff.snapshots import Reader, Snapshots
    from migrator.diff.units import Unit

    Ask = Callable[[Content, sql.Composable | None], sql.Composed]

# Rows in a bucket, as many buckets at most, and how many rows of buckets that differ are fetched.
PER_BUCKET, MOST_BUCKETS, FETCHED = 256, 65536, 200_000
# In how many scans more a unit's suspects are looked for, until there are so many; fewer where there is no
# key, and each look at some reads the whole table.
PASSES, SUSPECTS, WITHOUT_KEY = 5, 100_000, 1000

# By bucket: how many rows, and the sum of their hashes.
Sums = dict[int, tuple[int, int]]
# How many rows there are by key and hash.
Copies = Counter[tuple[tuple[str, ...], str]]


@dataclass(frozen=True)
class Scanned:
    """A unit's rows on both sides, its suspects, whether there are ``more``; or why it could not be read.

    What was rewritten meanwhile, or failed, may be read by another snapshot.
    """

    rows: tuple[int, int] = (0, 0)
    suspects: tuple[tuple[str, ...], ...] = ()
    more: bool = False
    failure: str = ""

    @property
    def is_equal(self) -> bool:
        """Return whether that says all."""
        return not (self.suspects or self.more or self.failure)


class Scanner:
    """Runs scans through readers, as many at a time as there are: whichever side they are of."""

    def __init__(self, readers: list[Reader]) -> None:
        self._readers = readers
        self._idle: SimpleQueue[Reader] = SimpleQueue()
        for reader in readers:
            self._idle.put(reader)
        self._pool = ThreadPoolExecutor(len(readers))

    def close(self) -> None:
        """Let what was not begun be."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def cancel(self) -> None:
        """Stop all statements that run."""
        for reader in self._readers:
            reader.cancel()

    def scan(self, unit: Unit, snapshots: Snapshots) -> Scanned:
        """Scan a unit as the snapshots see it."""
        try:
            return self._scan(unit, snapshots)
        except StatementFailed as error:
            return Scanned(failure=error.message)

    def _scan(self, unit: Unit, snapshots: Snapshots) -> Scanned:
        asked = unit.pair.asked
        here, there = self._sums(unit, snapshots, asked.total)
        rows = (_rows(here), _rows(there))
        if self._is_rewritten(unit):
            return Scanned(rows, failure="it was truncated or rewritten meanwhile")
        if here == there:
            return Scanned(rows)
        count = buckets_for(max(rows))
        if count > 1:
            here, there = self._sums(unit, snapshots, partial(_bucketed, asked.buckets, count))
        different = sorted(b for b in here.keys() | there.keys() if here.get(b) != there.get(b))
        most = SUSPECTS if asked.key else WITHOUT_KEY
        suspects: list[tuple[str, ...]] = []
        for _ in range(PASSES):
            chosen, _more = first_buckets(different, here, there)
            different = different[len(chosen) :]
            fetch: Ask = partial(_rows_of, asked.rows, count, chosen)
            mine, theirs = (copies_of(parts) for parts in self._both(unit, snapshots, fetch))
            if self._is_rewritten(unit):
                return Scanned(rows, failure="it was truncated or rewritten meanwhile")
            suspects += unlike(mine, theirs, keyed=bool(asked.key))
            if not different or len(suspects) >= most:
                break
        if has_null(suspects):
            return Scanned(rows, failure=NULL_KEY)
        # Sums that differ are never called equal.
        more = bool(different) or len(suspects) > most or not suspects
        return Scanned(rows, tuple(suspects[:most]), more)

    def _sums(self, unit: Unit, snapshots: Snapshots, ask: Ask) -> tuple[Sums, Sums]:
        here, there = (_added(parts) for parts in self._both(unit, snapshots, ask))
        return here, there

    def _both(self, unit: Unit, snapshots: Snapshots, ask: Ask) -> list[list[list[Any]]]:
        """Ask for all scans of a unit, both sides at the same time; return the answers by side."""
        asked = [
            [
                self._pool.submit(self._ask, number, ask(table, where), snapshots)
                for table, where in unit.scans(number)
            ]
            for number in (0, 1)
        ]
        try:
            return [[future.result() for future in side] for side in asked]
        except BaseException:
            _cancel(asked)
            raise

    def _ask(self, number: int, question: sql.Composed, snapshots: Snapshots) -> list[Any]:
        reader = self._idle.get()
        try:
            with snapshots.seen_on(reader, number) as session:
                return session.rows(question)
        finally:
            self._idle.put(reader)

    def _is_rewritten(self, unit: Unit) -> bool:
        reader = self._idle.get()
        try:
            tables = (unit.pair.one, unit.pair.other)
            return any(t.is_rewritten(s) for t, s in zip(tables, reader, strict=True))
        finally:
            self._idle.put(reader)


def _cancel(asked: list[list[Future[list[Any]]]]) -> None:
    for side in asked:
        for future in side:
            future.cancel()


def _bucketed(
    question: Callable[..., sql.Composed], count: int, table: Content, where: sql.Composable | None
) -> sql.Composed:
    return question(table, count, where)


def _rows_of(
    question: Callable[..., sql.Composed],
    count: int,
    buckets: list[int],
    table: Content,
    where: sql.Composable | None,
) -> sql.Composed:
    return question(table, count, buckets, where)


def _added(parts: list[list[Any]]) -> Sums:
    """Return the sums of all parts of a side; a bucket without rows is as none."""
    total: Sums = {}
    for row in (row for part in parts for row in part):
        rows, digest = total.get(row.bucket, (0, 0))
        total[row.bucket] = (rows + row.rows, digest + int(row.digest))
    return {bucket: sums for bucket, sums in total.items() if sums[0]}


def copies_of(parts: list[list[Any]]) -> Copies:
    """Return how many rows there are by key and hash; equal ones without a key may lie in several parts."""
    found: Copies = Counter()
    for row in (row for part in parts for row in part):
        found[tuple(row.key), str(row.hash)] += row.copies
    return found


def unlike(here: Copies, there: Copies, *, keyed: bool) -> list[tuple[str, ...]]:
    """Return the keys, or where there are none the hashes, of which the sides have not the same."""
    left = (here - there) + (there - here)
    return sorted({key if keyed else (hashed,) for key, hashed in left}, key=str)


def _rows(sums: Sums) -> int:
    return sum(rows for rows, _digest in sums.values())


def buckets_for(rows: int) -> int:
    """Return a power of two."""
    return 1 << min(max(rows // PER_BUCKET, 1).bit_length() - 1, MOST_BUCKETS.bit_length() - 1)


def first_buckets(different: list[int], here: Sums, there: Sums) -> tuple[list[int], bool]:
    """Return the first of the buckets, as many as may be fetched, one at least; and whether more are left."""
    chosen: list[int] = []
    size = 0
    for bucket in different:
        size += max(here.get(bucket, (0, 0))[0], there.get(bucket, (0, 0))[0])
        if chosen and size > FETCHED:
            return chosen, True
        chosen.append(bucket)
    return chosen, False
