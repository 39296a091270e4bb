"""Compare all rows of tables on two snapshots: how many there are and what is in them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from migrator.diff.content import Content, contents
from migrator.diff.different import Finder
from migrator.diff.pairs import different_columns
from migrator.diff.questions import Questions
from migrator.diff.row_hash import RowHash
from migrator.diff.snapshots import Reader
from migrator.diff.stopping import stop
from migrator.errors import StatementFailed
from migrator.pg.catalog import label

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Executor

    from migrator.context import WriteContext
    from migrator.diff.questions import Question
    from migrator.diff.snapshots import Snapshots
    from migrator.report_diff import Identity

# How many rows that differ are named.
NAMED = 10
NO_VERDICT = "more of its rows are hashed differently than could be looked at, and those that were are equal"


@dataclass(frozen=True)
class Result:
    """One table: its rows where they are equal; where not ``differences``; or why it was not compared.

    ``settled`` says of the rows that were asked about how many are equal and how many are different.
    """

    table: str
    rows: int = 0
    differences: tuple[str, ...] = ()
    not_compared: str = ""
    settled: tuple[int, int] = (0, 0)


@dataclass
class Comparison:
    """All tables, each with its result; ``how`` is the function that rows were hashed by."""

    results: list[Result] = field(default_factory=list)
    how: str = ""

    @property
    def rows(self) -> int:
        """Return how many rows were found equal."""
        return sum(r.rows for r in self.results)

    @property
    def equal(self) -> list[Result]:
        """Return the tables whose rows are the same."""
        return [r for r in self.results if not r.differences and not r.not_compared]

    @property
    def different(self) -> list[Result]:
        """Return the tables whose rows are not."""
        return [r for r in self.results if r.differences]

    @property
    def not_compared(self) -> list[Result]:
        """Return the tables that could not be compared."""
        return [r for r in self.results if r.not_compared]


def compare(
    ctx: WriteContext,
    tables: list[tuple[str, str]],
    *,
    jobs: int,
    moving: Mapping[str, tuple[Identity, ...]],
    progress: Callable[[int, int, str], None] = lambda _done, _total, _table: None,
) -> Comparison:
    """Compare the tables, given by schema and name, on the context's snapshots.

    ``jobs`` at a time are compared, the largest first, both sides of a table at once. ``moving`` are rows
    to settle, by their table's label. ``progress`` is told tables done and all, and the last one. A table
    that was rewritten since the snapshots is not compared, and said so. Raises what a lost connection
    raises; an interrupt stops all statements.
    """
    holders = ctx.snapshots.holders
    if holders is None:
        return Comparison([Result(label(*t), not_compared="no snapshot is held") for t in tables])
    here, there = (contents(session, tables) for session in holders)
    pairs = [(t, here.get(t), there.get(t)) for t in tables]
    pairs.sort(key=lambda pair: -(pair[1].pages if pair[1] else 0))
    found = Comparison()
    with ExitStack() as stack:
        readers = [Reader.open(ctx) for _ in range(min(jobs, len(pairs)))]
        idle: SimpleQueue[_Both] = SimpleQueue()
        for reader in readers:
            stack.callback(reader.close)
        sides = stack.enter_context(ThreadPoolExecutor(len(readers) or 1))
        for reader in readers:
            both = _Both(ctx.snapshots, reader, sides)
            found.how = both.how
            idle.put(both)

        def work(name: tuple[str, str], one: Content | None, other: Content | None) -> Result:
            if one is None or other is None:
                missing = (holders.source if one is None else holders.destination).side
                return Result(label(*name), differences=(f"the {missing} does not have the table",))
            both = idle.get()
            try:
                return both.compare(one, other, moving.get(one.label, ()))
            finally:
                idle.put(both)

        pool = stack.enter_context(ThreadPoolExecutor(len(readers) or 1))
        futures = [pool.submit(work, *pair) for pair in pairs]
        try:
            for number, future in enumerate(futures, 1):
                found.results.append(future.result())
                progress(number, len(pairs), found.results[-1].table)
        except BaseException:
            stop(futures, lambda: [reader.cancel() for reader in readers])
            raise
    return found


class _Both:
    """A session on each side, asked the same at the same time."""

    def __init__(self, snapshots: Snapshots, reader: Reader, sides: Executor) -> None:
        self._snapshots, self._reader, self._sides = snapshots, reader, sides
        self._language = RowHash(reader)

    @property
    def how(self) -> str:
        return self._language.function

    def compare(self, one: Content, other: Content, moving: tuple[Identity, ...]) -> Result:
        try:
            with self._snapshots.seen_by(self._reader):
                return self._compare(one, other, moving)
        except StatementFailed as error:
            # Somebody's schema change after the switchover: a column or the table is another one by now.
            return Result(one.label, not_compared=error.message)

    def _compare(self, one: Content, other: Content, moving: tuple[Identity, ...]) -> Result:
        if differing := different_columns(one, other):
            return Result(one.label, differences=(f"the columns are not the same: {differing}",))
        asked = Questions.about(self._language, one, other)
        here, there = (rows[0] for rows in self._ask(asked.total, one, other))
        reader = self._reader
        if one.is_rewritten(reader.source) or other.is_rewritten(reader.destination):
            return Result(one.label, not_compared="it was truncated or rewritten since")
        if here == there:
            return Result(one.label, here.rows, settled=(len(moving), 0))
        finder = Finder(asked, one, other, self._ask, [session.side for session in reader])
        found = finder.find(max(here.rows, there.rows), NAMED)
        settled = finder.settle(moving)
        if here.rows == there.rows and not found.rows:
            # Hashes alone say little, however many of them.
            why = NO_VERDICT if found.more else ""
            return Result(one.label, 0 if why else here.rows, not_compared=why, settled=settled)
        counts = (
            f"{here.rows} rows on the {reader.source.side}, {there.rows} on the {reader.destination.side}"
        )
        more = ("and more",) if found.more else ()
        return Result(one.label, differences=(counts, *found.rows, *more), settled=settled)

    def _ask(self, question: Question, one: Content, other: Content) -> tuple[list[Any], list[Any]]:
        theirs = self._sides.submit(self._reader.destination.rows, question(other))
        try:
            mine = self._reader.source.rows(question(one))
        except BaseException:
            self._reader.destination.cancel()
            theirs.exception()
            raise
        return mine, theirs.result()
