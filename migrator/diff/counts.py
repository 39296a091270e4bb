"""Look at tables on both sides (``looks.py``), many at a time, until each is settled."""

from __future__ import annotations

from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event, Timer
from typing import TYPE_CHECKING, Self

from psycopg import sql

from migrator.diff.looks import Count, Look, Verdict
from migrator.diff.snapshots import Reader
from migrator.diff.stopping import stop
from migrator.diff.visibility import await_older
from migrator.errors import StatementFailed, TimedOut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext
    from migrator.pg.catalog import Table
    from migrator.pg.session import ReadSession

# The end of the WAL that a stream can reach, in bytes, which lies after all that the snapshot of this
# statement sees. Behind a full page the next record's place is told, after a header that is not written yet
# (XLogBytePosToRecPtr in xlog.c; 24 bytes, 40 in a new segment).
POSITION = """
select case
           when w.place % w.segment = 40 then w.place - 40
           when w.place % w.block = 24 then w.place - 24
           else w.place
       end as position,
       pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot()) as horizon
from (
    select pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::bigint as place,
           pg_catalog.pg_size_bytes(pg_catalog.current_setting('wal_segment_size')) as segment,
           pg_catalog.current_setting('wal_block_size')::bigint as block
) w
"""
# Frozen rows keep their xmin, whose age is negative once it is more than 2^31 transactions ago.
COUNT = """
select {number} as number,
       count(*) as rows,
       count(*) filter (
           where not pg_catalog.age(xmin) between 0 and pg_catalog.age({horizon}::pg_catalog.xid)
       ) as untouched
from only {table}
"""
TOGETHER = " union all "

# How many tables are counted by one statement, at first and when they are looked at again, and with how
# many rows as the planner knows them.
BATCH, SMALL_BATCH = 100, 10
BATCH_ROWS = 500_000
LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Counted:
    """One table: the last of its looks and how many there were, or why it could not be counted."""

    table: Table
    look: Look | None
    looks: int
    failure: str = ""


def count_tables(
    ctx: ReadContext,
    tables: list[Table],
    *,
    jobs: int,
    rounds: int,
    applied: Callable[[ReadSession, int], None],
    halted: Event,
    progress: Callable[[int, int, str], None] = lambda _done, _total, _table: None,
) -> list[Counted]:
    """Count tables that both sides have, by the publisher's names; the context's source is the publisher.

    ``jobs`` batches at a time, the largest tables first; what is not settled is looked at again, at most
    ``rounds`` times (one is needed at least, to believe a difference). ``applied`` waits until the
    subscriber has applied what the publisher had written up to a position, and may raise; it returns
    early once ``halted`` is set, as an error or an interrupt does, which stops all statements.
    """
    left = tables
    settled: list[Counted] = []
    with ExitStack() as stack:
        counters = [
            stack.enter_context(_Counter(ctx, applied, halted))
            for _ in range(min(jobs, len(list(_batches(left, BATCH)))))
        ]
        idle: SimpleQueue[_Counter] = SimpleQueue()
        for counter in counters:
            idle.put(counter)

        def look(batch: list[Table], number: int) -> list[Counted]:
            counter = idle.get()
            try:
                return counter.look(batch, number)
            finally:
                idle.put(counter)

        pool = stack.enter_context(ThreadPoolExecutor(len(counters) or 1))
        for number in range(1, rounds + 2):
            batches = _batches(left, BATCH if number == 1 else SMALL_BATCH)
            futures = [pool.submit(look, batch, number) for batch in batches]
            left = []
            try:
                for future in as_completed(futures):
                    for found in future.result():
                        if _is_settled(found, last=number > rounds):
                            settled.append(found)
                        else:
                            left.append(found.table)
                        progress(len(settled), len(tables), found.table.label)
            except BaseException:
                halted.set()
                stop(futures, lambda: [counter.both.cancel() for counter in counters])
                raise
    return settled


def count_briefly(
    ctx: ReadContext, tables: list[Table], *, seconds: float, applied: Callable[[ReadSession, int], None]
) -> list[Counted]:
    """Count as many of the tables as there is time for, the smallest first; return only these.

    What differs is looked at twice, or it is left out. ``applied`` is as for ``count_tables``.
    """
    halted = Event()
    found: list[Counted] = []
    with _Counter(ctx, applied, halted) as counter:
        counter.both.set("statement_timeout", f"{max(seconds * 1000, 1):.0f}")

        def stop() -> None:
            halted.set()
            counter.both.cancel()

        timer = Timer(seconds, stop)
        timer.daemon = True
        timer.start()
        try:
            for batch in reversed(list(_batches(tables, BATCH))):
                seen = counter.look(batch, 1)
                again = [c.table for c in seen if c.look and c.look.verdict is Verdict.DIFFERS]
                found += [c for c in seen if c.table not in again]
                found += counter.look(again, 2) if again else []
        except (CancelledError, StatementFailed, TimedOut):
            return found
        finally:
            timer.cancel()
    return found


def _batches(tables: list[Table], most: int) -> Iterator[list[Table]]:
    """Yield the tables, the largest first, cut into what one statement counts."""
    batch: list[Table] = []
    rows = 0
    for table in sorted(tables, key=lambda t: -t.rows):
        if batch and (len(batch) == most or rows + table.rows > BATCH_ROWS):
            yield batch
            batch, rows = [], 0
        batch.append(table)
        rows += table.rows
    if batch:
        yield batch


def _is_settled(found: Counted, *, last: bool) -> bool:
    if found.look is None or found.look.verdict is Verdict.EQUAL or last:
        return True
    return found.look.verdict is Verdict.DIFFERS and found.looks > 1


class _Counter:
    """A session on each side, and how a batch of tables is looked at through them."""

    def __init__(self, ctx: ReadContext, applied: Callable[[ReadSession, int], None], halted: Event) -> None:
        self.both = Reader.open(ctx, ctx.names.observer)
        self.both.set("lock_timeout", LOCK_TIMEOUT)
        self._applied = applied
        self._halted = halted
        self._now = ctx.now

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.both.close()

    def look(self, batch: list[Table], number: int) -> list[Counted]:
        """Look at some tables for the ``number``-th time; one that cannot be counted stops no other."""
        publisher, subscriber = self.both
        failures: dict[int, str] = {}

        def count(session: ReadSession, horizon: int) -> dict[int, Count]:
            self._go_on()
            return self._count(session, [t for t in batch if t.oid not in failures], horizon, failures)

        start = publisher.rows(POSITION)[0]
        self._applied(publisher, start.position)
        horizon = subscriber.rows(POSITION)[0].horizon
        before = count(subscriber, horizon)
        if number > 1:
            await_older(publisher, self._halted, self._now)
        between = count(publisher, start.horizon)
        self._applied(publisher, publisher.rows(POSITION)[0].position)
        after = count(subscriber, horizon)
        return [
            Counted(
                t,
                None if t.oid in failures else Look(before[t.oid].rows, between[t.oid], after[t.oid]),
                number,
                failures.get(t.oid, ""),
            )
            for t in batch
        ]

    def _count(
        self, session: ReadSession, tables: list[Table], horizon: int, failures: dict[int, str]
    ) -> dict[int, Count]:
        if not tables:
            return {}
        xid = sql.Literal(str(horizon % 2**32))
        query = sql.SQL(TOGETHER).join(
            sql.SQL(COUNT).format(number=sql.Literal(t.oid), horizon=xid, table=t.identifier) for t in tables
        )
        try:
            return {row.number: Count(row.rows, row.untouched) for row in session.rows(query)}
        except StatementFailed as error:
            if len(tables) == 1:
                failures[tables[0].oid] = error.message
                return {}
        found: dict[int, Count] = {}
        for table in tables:
            self._go_on()
            found |= self._count(session, [table], horizon, failures)
        return found

    def _go_on(self) -> None:
        if self._halted.is_set():
            raise CancelledError
