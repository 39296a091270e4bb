"""The hand-over: fence, drain, what the stream does not carry, sequences, commit.

Its commit is the point of no return.
The fence is one transaction, left open while the stream drains. Until it commits, any failure,
timeout or death of ours makes the server roll it back: queued writers go on and have seen only a
pause. When it commits, the fence and its journal row become durable together, in the source itself,
so that what happened is never decided from our memory.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.errors import GateClosed, StatementFailed, TimedOut
from migrator.pg.activity import name_holders
from migrator.pg.catalog import Table, all_tables
from migrator.pg.patience import GIVE_WAY
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.session import WriteSession
from migrator.switchover import drain, fence, gates, sequences, unstreamed

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "cutover"
LOCK = "lock table {tables} in share row exclusive mode"
STATEMENT_TIMEOUT = "select set_config('statement_timeout', %s, true)"
# The dead man's switch: the server ends an idle fence that its owner has forgotten.
DEAD_MAN = "select set_config('idle_in_transaction_session_timeout', %s, true)"


class LockLost(Exception):
    """The fence's locks were not to be had; ``why`` names who is in the way."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class Stopwatch:
    """Measure the parts of the pause, in milliseconds, in the order in which they happen."""

    def __init__(self, ctx: ReadContext) -> None:
        self._now = ctx.now
        self.started = self._last = ctx.now()
        self.parts: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """End the part that has been running."""
        now = self._now()
        self.parts[part] = round((now - self._last) * 1000, 1)
        self._last = now

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return self._now() - self.started


def cutover_record(ctx: ReadContext) -> dict[str, Any] | None:
    """Return the journal row of the committed cutover from the source, or None."""
    return Registry(ctx.source, ctx.names).read(EVENT)


def hand_over(ctx: WriteContext) -> dict[str, Any]:
    """Take the writes away from the source for good; return the evidence with the parts of the pause.

    Tries ``[cutover] attempts`` times when a lock is not to be had, giving way between. Raises
    TimedOut naming who is in the way, or where the time went; the source is then writable again.
    """
    attempts = ctx.config.cutover.attempts
    for attempt in range(1, attempts + 1):
        watch = Stopwatch(ctx)
        try:
            return _attempt(ctx, watch)
        except LockLost as lost:
            if attempt == attempts:
                raise TimedOut(
                    f"the fence's locks were not to be had in {attempts} tries; in the way: {lost.why}",
                    hint="end those transactions, then migrator advance; the source is writable",
                    parts=watch.parts,
                ) from lost
            ctx.note(f"the fence gave way (try {attempt} of {attempts}) to: {lost.why}")
            ctx.sleep(min(0.5 * attempt, 5))
    raise AssertionError("unreachable: the loop returns or raises")


def _attempt(ctx: WriteContext, watch: Stopwatch) -> dict[str, Any]:
    budget = ctx.config.cutover.max_pause
    lock_timeout = min(ctx.config.cutover.lock_timeout, budget)
    # The fence has a session of its own: the heartbeat must commit while it is open.
    with (
        WriteSession.open(
            ctx.source_server.conninfo, side="source", application=ctx.names.application
        ) as session,
        session.bounded(lock_timeout),
    ):
        registry = WritableRegistry(session, ctx.names)
        tables = all_tables(ctx.source)
        watch.lap("connect")
        watch.started = ctx.now()
        with session.transaction():
            session.execute(DEAD_MAN, [f"{int(budget * 1000)}ms"])
            _lock(ctx, session, [*tables, *unstreamed.to_lock(ctx)])
            watch.lap("lock")
            # Through the fence's own session: any other would queue up behind who waits for the fence.
            _ask_again(replace(ctx, source=session))
            fence.switch(session, ctx.names, tables, up=True)
            fence.set_read_only(session, ctx.source_server.database, on=True)
            watch.lap("fence")
            tokens = drain.round_trip(ctx, timeout=max(budget - watch.elapsed, 0.1)).tokens
            watch.lap("drain")
            beside = _copy_unstreamed(ctx, session, watch)
            count = _final_sequences(ctx)
            watch.lap("sequences")
            _in_time(watch, budget)
            evidence = {
                "tables": len(tables),
                "sequences": count,
                "tokens": tokens,
                "parts_ms": watch.parts,
                **beside,
            }
            registry.record(EVENT, evidence)
            unstreamed.end_waiting(ctx, session)
    watch.lap("commit")
    return evidence


def _in_time(watch: Stopwatch, budget: float) -> None:
    if watch.elapsed > budget:
        raise TimedOut(
            f"the pause took {watch.elapsed:.2f} s and [cutover] max_pause is {budget:g} s: "
            + ", ".join(f"{part} {ms} ms" for part, ms in watch.parts.items()),
            hint="the source is writable again; migrator advance tries once more",
            parts=watch.parts,
        )


def _copy_unstreamed(ctx: WriteContext, session: WriteSession, watch: Stopwatch) -> dict[str, Any]:
    budget = ctx.config.cutover.max_pause

    def in_time(_bytes: int) -> None:
        if watch.elapsed > budget:
            watch.lap("unstreamed")
            _in_time(watch, budget)

    try:
        found = unstreamed.copy_again(ctx, session, in_time)
    except StatementFailed as error:
        if error.sqlstate not in GIVE_WAY:
            raise
        raise LockLost(f"{error.message} (the second copy of unlogged tables)") from error
    if found:
        watch.lap("unstreamed")
    return found


def _lock(ctx: WriteContext, session: WriteSession, tables: list[Table]) -> None:
    if not tables:
        return
    # lock_timeout bounds the wait for each table, statement_timeout that for all of them.
    bound = str(int(ctx.config.cutover.lock_timeout * 1000))
    session.execute(STATEMENT_TIMEOUT, [bound])
    names = sql.SQL(", ").join(sql.SQL("only {}").format(t.identifier) for t in tables)
    try:
        session.run(sql.SQL(LOCK).format(tables=names))
    except TimedOut as error:
        raise LockLost(_suspects(ctx, tables)) from error
    except StatementFailed as error:
        if error.sqlstate not in GIVE_WAY:
            raise
        raise LockLost(_suspects(ctx, tables)) from error
    session.execute(STATEMENT_TIMEOUT, ["0"])


def _ask_again(ctx: ReadContext) -> None:
    # Whoever was in the way may have been changing a table: what was true before the locks may not be.
    for gate in gates.UNDER_THE_FENCE:
        for why in gate(ctx):
            raise GateClosed(why, hint="the source is writable again; mend it, then migrator advance")


def _suspects(ctx: ReadContext, tables: list[Table]) -> str:
    found = name_holders(ctx.source, ctx.names, [t.oid for t in tables])
    return found or "a transaction that has just ended"


def _final_sequences(ctx: WriteContext) -> int:
    source = sequences.read(ctx.source)
    wanted = sequences.plan(source, sequences.read(ctx.destination), ctx.config.sequences.shift)
    return sequences.write(ctx.write_destination, wanted)
