"""The initial copy at work: pieces of tables carried, indexes built as soon as their table is in."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from migrator.copy import builder, foreign_keys, indexes, post_data
from migrator.copy.formats import shapes
from migrator.copy.pieces import cut, size_of_pieces
from migrator.copy.protection import guard, sample_source
from migrator.copy.relay import Relay, Sent, relay_failure
from migrator.copy.scheduler import Pool, Ready, Scheduler, Task
from migrator.copy.statistics import Statistics, during_copy
from migrator.copy.throttle import Throttle, heeding_signals
from migrator.errors import ConnectionLost, SnapshotLost, StatementFailed
from migrator.events import TableProgressed
from migrator.pg.dump import Part

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from migrator.context import WriteContext
    from migrator.copy.formats import Shape
    from migrator.copy.pieces import Piece
    from migrator.copy.snapshot import Snapshot
    from migrator.pg.catalog import Table
    from migrator.pg.dump import Entry

POOL = "copy"
TELL_EVERY = 0.2
WATCH_EVERY = 2.0
# A connection that breaks is made anew, while the snapshot is still held, after so many seconds each.
BACK_OFF = (0.2, 1.0, 5.0)
RECORDED_ALREADY = "23505"


def transfer(ctx: WriteContext, tables: list[Table], snapshot: Snapshot, *, attach: bool = True) -> None:
    """Copy the tables, build their indexes, gather their statistics, add the keys between them.

    Indexes of partitions are not attached to their roots' when ``attach`` is false. What is built is
    recorded as made by the steps that complete it. Raises what a server said first; everything else is
    stopped by then.
    """
    pieces = cut(ctx.source, tables, size_of_pieces(ctx))
    forms = shapes(ctx.source, tables)
    try:
        asyncio.run(_transfer(ctx, pieces, forms, snapshot, attach))
    except (Exception, BaseExceptionGroup) as error:
        raise relay_failure(error) from error


async def _transfer(
    ctx: WriteContext,
    pieces: list[Piece],
    forms: dict[int, Shape],
    snapshot: Snapshot,
    attach: bool,
) -> None:
    meter = Meter(ctx, pieces)

    async def carry(piece: Piece, line: Line) -> None:
        meter.begin(piece)
        copied = await line.copy(piece, forms[piece.table.oid], snapshot, meter)
        meter.end(piece, copied)

    throttle = Throttle(ctx.config.copy.max_bytes_per_second)
    builders = builder.builders(ctx)
    scheduler = Scheduler(
        {
            POOL: Pool(ctx.config.copy.jobs, partial(_line, ctx, throttle)),
            builder.POOL: builders,
            foreign_keys.ADDING: foreign_keys.adders(builders),
        }
    )
    tasks: list[Task] = []
    ready = Ready()
    for piece in pieces:
        tasks.append(Task(piece.label, POOL, piece.bytes, partial(carry, piece)))
        ready.after([(piece.table.schema, piece.table.name)], tasks[-1])
    dump = post_data.dump(ctx)
    builds = post_data.missing(ctx, dump, Part.INDEX)
    if not attach:
        builds = [e for e in builds if e.kind != indexes.ATTACH]
    tasks += indexes.tasks(ctx, dump, builds, ready, scheduler, meter.built)
    statistics = Statistics(ctx)
    tables = {(p.table.schema, p.table.name): p.table for p in pieces}
    tasks += statistics.tasks(ctx, during_copy(ctx, statistics, tables), ready, meter.did)
    keys = foreign_keys.between(ctx, tables, post_data.missing(ctx, dump, Part.FOREIGN_KEY))
    tasks += foreign_keys.tasks(ctx, dump, keys, ready, meter.did, leave_violated=True)
    watch = asyncio.create_task(_watch(ctx))
    work = asyncio.create_task(scheduler.run(tasks))
    try:
        # The watch never ends by itself: whichever ends first says how it went.
        with heeding_signals(throttle, ctx.note):
            ended, _ = await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
        for one in ended:
            await one
        statistics.record(ctx)
    finally:
        for one in (work, watch):
            one.cancel()
        await asyncio.wait((work, watch))


async def _watch(ctx: WriteContext) -> None:
    while True:
        sample = sample_source(ctx)
        ctx.emit(sample)
        guard(ctx, sample)
        await asyncio.sleep(WATCH_EVERY)


@asynccontextmanager
async def _line(ctx: WriteContext, throttle: Throttle) -> AsyncIterator[Line]:
    line = Line(ctx, throttle)
    try:
        yield line
    finally:
        await line.close()


class Line:
    """A relay that is opened when it is first needed, and again when it broke."""

    def __init__(self, ctx: WriteContext, throttle: Throttle) -> None:
        self._ctx = ctx
        self._throttle = throttle
        self._relay: Relay | None = None

    async def copy(self, piece: Piece, shape: Shape, snapshot: Snapshot, meter: Meter) -> Sent:
        """Copy a piece; after a lost connection from its beginning, with growing pauses.

        A commit whose answer was lost is asked for first: what is in is not copied again. Raises
        ConnectionLost when it does not go on, SnapshotLost when the snapshot is gone.
        """
        again = False
        for pause in (*BACK_OFF, None):
            try:
                if self._relay is None:
                    self._relay = await Relay.open(
                        self._ctx.write_source, self._ctx.write_destination, self._ctx.names, self._throttle
                    )
                found = await self._relay.recorded(piece, snapshot) if again else None
                return found or await self._relay.copy(piece, shape, snapshot, partial(meter.sent, piece))
            except Exception as error:
                failure = relay_failure(error)
                await self.close()
                # Without the run's own sessions there is nothing to go on with.
                alone = not (self._ctx.write_source.is_open and self._ctx.write_destination.is_open)
                if not _may_go_on(failure, again) or pause is None or alone:
                    raise
                again = True
                self._ctx.note(f"{piece.label}: {failure}; it is copied again")
                await asyncio.sleep(pause)
        raise AssertionError("unreachable: the loop returns or raises")

    async def close(self) -> None:
        """End the connections."""
        if self._relay is not None:
            await self._relay.close()
            self._relay = None


def _may_go_on(failure: BaseException, again: bool) -> bool:
    # A server that was still busy with the first commit lets the second one find its record.
    if again and isinstance(failure, StatementFailed) and failure.sqlstate == RECORDED_ALREADY:
        return True
    return isinstance(failure, ConnectionLost) and not isinstance(failure, SnapshotLost)


class Meter:
    """Tell what was really sent, a few times a second; estimates give way to facts table by table."""

    def __init__(self, ctx: WriteContext, pieces: list[Piece]) -> None:
        self._ctx = ctx
        self._expected = sum(p.bytes for p in pieces)
        self._finished = 0
        self._under_way: dict[Piece, int] = {}
        self._in: dict[int, list[Sent]] = {}
        self._told = 0.0

    def begin(self, piece: Piece) -> None:
        """Start a piece; with its first one the table starts."""
        first = piece.table.oid not in self._in
        self._in.setdefault(piece.table.oid, [])
        self._under_way[piece] = 0
        if first:
            self._tell_table(piece, "started")

    def sent(self, piece: Piece, size: int) -> None:
        """Take note that ``size`` bytes of the piece are sent so far."""
        self._under_way[piece] = size
        if self._ctx.now() - self._told < TELL_EVERY:
            return
        self._told = self._ctx.now()
        self._tell(piece.label)
        self._tell_table(piece, "copying")

    def end(self, piece: Piece, copied: Sent) -> None:
        """Finish the piece; with its last one the table is copied."""
        del self._under_way[piece]
        self._finished += copied.bytes
        self._expected += copied.bytes - piece.bytes
        pieces = self._in[piece.table.oid]
        pieces.append(copied)
        self._tell(piece.label)
        self._tell_table(piece, "copied" if len(pieces) == piece.of else "copying")

    def built(self, _count: int, entry: Entry) -> None:
        """Take note that an index is there."""
        self._tell(entry.title)

    def did(self, what: str) -> None:
        """Take note of anything else that is done."""
        self._tell(what)

    def _tell(self, what: str) -> None:
        done = self._finished + sum(self._under_way.values())
        self._ctx.progress(done, max(self._expected, done), "bytes", what)

    def _tell_table(self, piece: Piece, state: str) -> None:
        table = piece.table
        done = self._in[table.oid]
        size = sum(c.bytes for c in done) + sum(n for p, n in self._under_way.items() if p.table is table)
        self._ctx.emit(TableProgressed(table.label, state, sum(c.rows for c in done), size, table.bytes))
