"""``migrator diff --repair``: make what was proven different the same, on the side that follows the stream.

Rows are written one batch after another (``diff/mend.py``), each proven once more by then; tables with too
many differences are copied again as a whole (``switchover/recopy.py``). What is overwritten is in a file
before anything is. No slot of ours is on the side that is written to, so no stream carries back what is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from functools import partial
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any

from migrator.copy.snapshot import find_slots
from migrator.diff import mend
from migrator.diff.fix import head, one_line
from migrator.diff.pairs import Pairs, Wanted
from migrator.diff.proven import definition
from migrator.diff.visibility import position
from migrator.errors import (
    MigratorError,
    OutOfOrder,
    Refused,
    SourceProtected,
    StatementFailed,
    StepFailed,
    TimedOut,
)
from migrator.events import StepProgress
from migrator.pg.activity import name_holders
from migrator.pg.patience import patiently
from migrator.report_repair import TableRepair
from migrator.switchover import fence
from migrator.switchover.applied import Applied
from migrator.switchover.recopy import recopy
from migrator.switchover.records import handed_over
from migrator.workflow import State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import WriteContext
    from migrator.diff.mend import Item, Mender
    from migrator.diff.proven import Proven
    from migrator.diff.units import Pair
    from migrator.report_diff import DataDiffReport
    from migrator.store.journal import Journal

NAME, STEP = "diff --repair", "repair"
ROLE = "select pg_catalog.current_setting('session_replication_role')"
# A row that another one stands in the way of, which may be in another batch.
CONSTRAINT = "23"
HEAD = """-- What migrator diff --repair does on the {side}, each row only if it still is as it was here.
-- By psql, from 11 on: with --variable undo=1 what takes it back, without it the same once more.
"""


@dataclass(frozen=True)
class Found:
    """A comparison, and what of it may be repaired."""

    report: DataDiffReport
    proven: tuple[Proven, ...]

    @property
    def side(self) -> str:
        """Return the side that follows the stream, which is the one to repair."""
        return "source" if self.report.stream == "back" else "destination"

    @property
    def others(self) -> tuple[TableRepair, ...]:
        """Return the tables that differ and cannot be repaired, each with the reason."""
        proven = {table.label for table in self.proven}
        return tuple(
            TableRepair(t.table, note=f"not repaired: {t.note}")
            for t in self.report.tables
            if t.verdict in ("missing", "different", "not_streamed") and t.table not in proven
        )


@dataclass
class Work:
    """One table's repair: what is left of it to do, and what was done."""

    proven: Proven
    batches: list[list[Item]] = field(default_factory=list)
    rows: int = 0
    done: bool = False
    note: str = ""

    def told(self) -> TableRepair:
        """Return what became of it."""
        left = 0 if self.proven.whole else len(self.proven.differences) - self.rows
        return TableRepair(self.proven.label, self.rows, left, self.proven.whole, self.note)


class Repair:
    """The repair of what a comparison has found, which goes on where a lost connection has cut it short.

    ``write`` puts lines into the file and returns its name. ``timeout`` bounds the wait for the stream, in
    seconds.
    """

    def __init__(
        self,
        found: Found,
        journal: Journal,
        migration_id: int,
        *,
        write: Callable[[Iterator[str]], str],
        timeout: float,
    ) -> None:
        self._found, self._journal, self._id = found, journal, migration_id
        self._write, self._timeout = write, timeout
        self._tables = [Work(proven) for proven in found.proven]
        self.file = ""

    @property
    def tables(self) -> tuple[TableRepair, ...]:
        """Return what became of every table."""
        return (*(work.told() for work in self._tables), *self._found.others)

    def run(self, ctx: WriteContext, state: State) -> None:
        """Repair what is left. Raises OutOfOrder, Refused, TimedOut, or what a server said."""
        ctx.step = STEP
        way = self._way(ctx, state)
        if way.write_destination.value(ROLE) != "replica":
            raise Refused(
                f"refused: the {way.destination.side}'s role may not keep triggers still "
                "(session_replication_role), and repaired rows are to set off none",
                hint="name a superuser in its url",
            )
        halted = threading.Event()
        applied = Applied(way, NAME, timeout=self._timeout, halted=halted)
        if not applied.streaming:
            raise StepFailed(f"no stream of ours leads to the {way.destination.side}", hint="migrator status")
        pairs = Pairs(replace(way, destination=way.write_destination))
        mender = mend.Mender(
            way.source,
            way.write_destination,
            unfenced=partial(fence.lifted, way.write_destination, way.names),
            now=way.now,
            halted=halted,
        )
        if not self.file:
            self.file = self._write(self._prepared(way, pairs, mender))
        applied.wait(way.source, position(way.source))
        for work in self._tables:
            if not work.done and work.proven.whole:
                self._recorded(work, partial(self._recopy, way, work))
            elif not work.done:
                self._recorded(work, partial(self._mend, way, pairs, mender, work))

    def _way(self, ctx: WriteContext, state: State) -> WriteContext:
        """Return the context with the publisher as its source, if it is the one that was compared."""
        report, committed = self._found.report, handed_over(ctx) is not None
        now = (state.value, "back" if committed else "forward")
        if now != (report.state, report.stream) or committed != (state is State.CUTOVER):
            raise OutOfOrder(
                f"refused: the migration is {state}, and the hand-over is not finished or came after the "
                "comparison",
                hint="migrator status",
                state=state.value,
                allowed=[],
            )
        way = ctx.mirrored() if committed else ctx
        if slots := [slot.stream.slot for slot in find_slots(way.mirrored()) if slot.ours]:
            raise Refused(
                f"refused: slot {', '.join(slots)} on the {way.destination.side} would carry back what is "
                "written there",
                hint="migrator advance, which drops it",
            )
        return way

    def _prepared(self, ctx: WriteContext, pairs: Pairs, mender: Mender) -> Iterator[str]:
        lowering, raising = fence.passing(ctx.write_destination, ctx.names)
        yield HEAD.format(side=ctx.destination.side) + head() + lowering
        for work in self._tables:
            work.batches = []
            label = one_line(work.proven.label)
            if work.proven.whole:
                yield f"-- {label} is copied again as a whole: what was there is not kept.\n"
                continue
            yield f"-- {label}\n"
            pair = self._pair(pairs, work)
            if pair is None:
                continue
            # Rows of any two batches may exchange unique values.
            with TemporaryFile("w+", encoding="utf-8", newline="") as later:
                for items in mender.prepare(pair, work.proven.differences):
                    yield from (f"{statement}\n" for statement in mend.removals(pair, items))
                    later.writelines(f"{statement}\n" for statement in mend.insertions(pair, items))
                    for item in items:
                        item.forget_rows()
                    work.batches.append(items)
                later.seek(0)
                yield from later
        yield raising + "commit;\n"

    def _pair(self, pairs: Pairs, work: Work) -> Pair | None:
        found, refused = pairs.find([Wanted(work.proven.name)])
        if found and definition(found[0]) == work.proven.definition:
            return found[0]
        work.note = next(iter(refused.values()), "it was altered, rewritten or truncated meanwhile")
        return None

    def _recopy(self, ctx: WriteContext, work: Work) -> None:
        label = work.proven.label
        try:
            work.rows = recopy(
                ctx, work.proven.name, lambda sent: ctx.emit(StepProgress(STEP, sent, 0, "bytes", label))
            )
        except (StatementFailed, TimedOut, SourceProtected) as error:
            work.note = error.message

    def _mend(self, ctx: WriteContext, pairs: Pairs, mender: Mender, work: Work) -> None:
        pair = self._pair(pairs, work)
        if pair is None:
            return
        refused: list[Item] = []
        try:
            while work.batches:
                try:
                    work.rows += self._batch(ctx, mender, pair, work.batches[-1])
                except StatementFailed as error:
                    if not error.sqlstate.startswith(CONSTRAINT):
                        raise
                    refused += work.batches[-1]
                work.batches.pop()
                ctx.progress(work.rows, len(work.proven.differences), "rows", pair.label)
            if refused:
                work.rows += self._batch(ctx, mender, pair, refused)
        except (StatementFailed, TimedOut) as error:
            work.note = error.message

    def _batch(self, ctx: WriteContext, mender: Mender, pair: Pair, items: list[Item]) -> int:
        session, copy = ctx.write_destination, ctx.config.copy
        done: list[Item] = []
        with session.bounded(copy.lock_timeout):
            patiently(
                lambda: done.extend(mender.mend(pair, items)),
                ctx.sleep,
                what=f"repairing {pair.label} on the {session.side}",
                attempts=copy.lock_attempts,
                explain=partial(name_holders, session, ctx.names, [pair.other.oid]),
            )
        return len(done)

    def _recorded(self, work: Work, do: Callable[[], None]) -> None:
        attempt = self._journal.begin(self._id, "diff", STEP, "apply")
        try:
            do()
        except BaseException as error:
            self._journal.fail(attempt, _told(error) | {"table": work.proven.label, "file": self.file})
            raise
        work.done = True
        self._journal.finish(attempt, "done", evidence={**work.told().as_dict(), "file": self.file})


def _told(error: BaseException) -> dict[str, Any]:
    if isinstance(error, MigratorError):
        return error.as_dict()
    return {"error": type(error).__name__, "message": str(error) or "interrupted"}
