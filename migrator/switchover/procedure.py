"""The hand-over: fence, drain, what the stream does not carry, sequences, commit.

Its commit is the point of no return. One procedure for both directions: what the context calls the source
takes the writes now, what it calls the destination is to take them; the way back is the same on a mirrored
context.

The fence is one transaction, left open while the stream drains. Until it commits, any failure,
timeout or death of ours makes the server roll it back: queued writers go on and have seen only a
pause. When it commits, the fence and its journal row become durable together, in the server itself,
so that what happened is never decided from our memory. What ``[cutover] fence`` does before that is committed
by itself and undone where the fence is not committed (``migrator/fences``).
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.context import FORWARD
from migrator.errors import (
    ConnectionLost,
    GateClosed,
    LostPastNoReturn,
    MigratorError,
    StatementFailed,
    TimedOut,
)
from migrator.events import StepNote
from migrator.pg.activity import end_session
from migrator.pg.catalog import all_tables
from migrator.pg.conninfo import impatient
from migrator.pg.patience import GIVE_WAY
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.session import WriteSession
from migrator.switchover import drain, gates, opposite, proof, quick, sequences, streams, unstreamed
from migrator.switchover.lock_order import in_order
from migrator.switchover.locking import LockLost, end_autovacuums, lock_and_fence
from migrator.switchover.opening import NO_SETTINGS, Settings, open_at_once
from migrator.switchover.records import CUTOVER, OPENED, PAUSE, next_number
from migrator.switchover.routing import lead
from migrator.switchover.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import ReadSession

# Seconds after which a fence that has learnt how to lock comes again.
LEARNT = 0.1


class Rehearsed(Exception):
    """The fence held, everything drained, and it is rolled back as intended."""


def switch_over(ctx: WriteContext, settings: Settings = NO_SETTINGS) -> Stopwatch:
    """Hand over, open the other side with its ``settings``, and lead the application there, in one go.

    Returns the parts of the pause, which ends when the router lets go. What comes after the commit is
    repeated by the steps that follow when it is cut short.
    """
    number = next_number(ctx)
    watch = hand_over(ctx)
    with past_no_return(ctx.write_destination):
        open_at_once(ctx, number, settings)
        watch.lap("open")
        lead(ctx, number, then=partial(watch.lap, "switch route"))
    return watch


@contextmanager
def past_no_return(*sessions: ReadSession) -> Iterator[None]:
    """Have a connection that is lost in the block raise LostPastNoReturn: there is only forward now.

    What is said of a connection that broke within a pipeline is not always that, so ``sessions`` are asked.
    """
    try:
        yield
    except MigratorError as error:
        if isinstance(error, ConnectionLost) or not all(session.is_open for session in sessions):
            raise LostPastNoReturn(error.message, hint=error.hint, **error.fields) from error
        raise


def hand_over(ctx: WriteContext, *, rehearse: bool = False) -> Stopwatch:
    """Take the writes away from the side that has them, for good; return the parts of the pause so far.

    The router holds the application back meanwhile, if it can, and lets it go again when the fence is
    given up. Tries ``[cutover] attempts`` times when a lock is not to be had, giving way between. With
    ``rehearse`` the fence is rolled back after the drain.
    Raises GateClosed where a quick look finds that rows differ, TimedOut naming who is in the way, or where
    the time went; the side is then writable again.
    """
    streams.revive(ctx)
    if ctx.roles == FORWARD:
        quick.look(ctx)
    attempts = ctx.config.cutover.attempts
    for attempt in range(1, attempts + 1):
        watch = Stopwatch(ctx.now)
        try:
            _attempt(ctx, watch, rehearse=rehearse)
        except Rehearsed:
            return watch
        except LockLost as lost:
            if attempt == attempts:
                raise TimedOut(
                    f"the fence's locks were not to be had in {attempts} tries; in the way: {lost.why}",
                    hint=f"end those transactions, then the same command; the {ctx.source.side} is writable",
                    parts=watch.parts,
                ) from lost
            ctx.note(f"the fence gave way (try {attempt} of {attempts}) to: {lost.why}")
            ctx.sleep(LEARNT if lost.learnt else min(0.5 * attempt, 5))
        else:
            return watch
    raise AssertionError("unreachable: the loop returns or raises")


def _attempt(ctx: WriteContext, watch: Stopwatch, *, rehearse: bool) -> None:
    budget = ctx.config.cutover.max_pause
    # The fence has a session of its own: the heartbeat must commit while it is open.
    with WriteSession.open(
        ctx.source_server.conninfo, side=ctx.source.side, application=ctx.names.application
    ) as session:
        registry = WritableRegistry(session, ctx.names)
        tables = all_tables(ctx.source)
        number = next_number(ctx)
        with (
            _backing_out(ctx, number, session.pid),
            session.bounded(min(ctx.config.cutover.lock_timeout, budget)),
        ):
            ctx.fence.prepare(ctx)
            ctx.router.prepare(ctx, ctx.roles)
            presynced = sequences.presync(ctx)
            subscriptions = [s for s in streams.find_subscriptions(ctx) if s.ours]
            slots = [] if rehearse else opposite.await_slots(ctx)
            if not rehearse:
                proof.prepare(ctx)
            mark = gates.schema_mark(ctx.source)
            _ask(ctx)
            end_autovacuums(ctx, tables)
            to_lock = [*in_order(ctx, tables), *unstreamed.to_lock(ctx)]
            watch.begin()
            if ctx.fence.keep_out(ctx, number, budget):
                watch.lap("keep out")
            ctx.router.pause(ctx, ctx.roles, max(budget - watch.elapsed, 0.1))
            watch.lap("route")
            with session.transaction():
                marked = lock_and_fence(ctx, session, to_lock)
                # Whoever was in the way may have been changing a table. Asked through the fence's own
                # session: any other would queue up behind who waits for the fence.
                if marked != mark:
                    _ask(replace(ctx, source=session))
                watch.lap("fence")
                tokens = drain.beat(ctx)
                watch.lap("token")
                # While the token travels.
                moved = sequences.moved(ctx, presynced)
                watch.lap("sequences")
                drain.wait_for(ctx, tokens, timeout=max(budget - watch.elapsed, 0.1))
                watch.lap("drain")
                beside = _copy_unstreamed(ctx, session, watch)
                if rehearse:
                    raise Rehearsed
                with ctx.write_destination.together():
                    streams.disable_now(ctx, subscriptions)
                    sequences.write(ctx.write_destination, moved)
                streams.end_workers(ctx, subscriptions)
                # Before that is done the slot would wait for the worker, and longer.
                streams.await_stop(ctx, subscriptions, timeout=max(budget - watch.elapsed, 0.1))
                watch.lap("stop stream")
                opposite.create_awaited(ctx, slots, timeout=max(budget - watch.elapsed, 0.1))
                watch.lap("opposite slot")
                if ctx.snapshots.take():
                    watch.lap("snapshots")
                _in_time(ctx, watch)
                # Each by itself: after a pipeline the dead man's clock would stand still.
                registry.record(
                    CUTOVER,
                    {
                        "number": number,
                        "tables": len(tables),
                        "sequences": len(presynced.positions),
                        "tokens": tokens,
                        "parts_ms": watch.parts,
                        **beside,
                    },
                )
                registry.forget(OPENED)
                unstreamed.end_waiting(ctx, session)
    watch.lap("commit")


def record_parts(ctx: WriteContext, watch: Stopwatch) -> None:
    """Write the parts of the whole pause into the journal of the side that serves now."""
    WritableRegistry(ctx.write_destination, ctx.names).record(
        PAUSE, {"direction": ctx.roles.subscriber, "total_ms": watch.total, "parts_ms": watch.parts}
    )


@contextmanager
def _backing_out(ctx: WriteContext, number: int, fence_pid: int) -> Iterator[None]:
    """Undo what was done outside the fence's transaction when that is not committed.

    Whether it is, is for the server to say when its answer to the commit was lost or not waited for. While
    nobody knows, nothing is undone but the router's pause: the next run finds out, and sees to the rest.
    """
    try:
        yield
    except BaseException as error:
        is_answered = isinstance(error, MigratorError | LockLost | Rehearsed)
        if is_answered and not isinstance(error, ConnectionLost):
            committed: bool | None = False
        else:
            committed = _is_committed(ctx, number, fence_pid)
        if committed and isinstance(error, ConnectionLost):
            return
        undone: list[Callable[[WriteContext], None]] = []
        if committed is False:
            undone.append(ctx.fence.let_in)
        if not committed:
            undone.append(partial(ctx.router.resume, roles=ctx.roles))
        if committed is False and not isinstance(error, Rehearsed):
            undone += [opposite.drop_slots, streams.enable]
        for undo in undone:
            try:
                undo(ctx)
            except MigratorError as other:
                ctx.note(f"{other.message}; the next run sees to it")
        raise


def _is_committed(ctx: ReadContext, number: int, fence_pid: int) -> bool | None:
    """Ask the server, by a new connection, whether the switchover of that number is committed.

    The fence's own process is ended first: as long as it is there it may be about to commit. None when the
    server does not answer in time.
    """
    try:
        with WriteSession.open(
            impatient(ctx.source_server.conninfo, ctx.config.cutover.max_pause),
            side=ctx.source.side,
            application=ctx.names.application,
        ) as session:
            end_session(session, ctx.names, fence_pid)
            record = Registry(session, ctx.names).read(CUTOVER)
    except MigratorError as error:
        ctx.emit(StepNote(ctx.step, f"whether the switchover is committed is not known yet: {error.message}"))
        return None
    return record is not None and record["number"] == number


def _in_time(ctx: ReadContext, watch: Stopwatch) -> None:
    budget = ctx.config.cutover.max_pause
    if watch.elapsed > budget:
        raise TimedOut(
            f"the pause took {watch.elapsed:.2f} s and [cutover] max_pause is {budget:g} s: {watch.told}",
            hint=f"the {ctx.source.side} is writable again; the same command tries once more",
            parts=watch.parts,
        )


def _copy_unstreamed(ctx: WriteContext, session: WriteSession, watch: Stopwatch) -> dict[str, Any]:
    budget = ctx.config.cutover.max_pause

    def in_time(_bytes: int) -> None:
        if watch.elapsed > budget:
            watch.lap("unstreamed")
            _in_time(ctx, watch)

    try:
        found = unstreamed.copy_again(ctx, session, in_time)
    except StatementFailed as error:
        if error.sqlstate not in GIVE_WAY:
            raise
        raise LockLost(f"{error.message} (the second copy of unlogged tables)") from error
    if found:
        watch.lap("unstreamed")
    return found


def _ask(ctx: ReadContext) -> None:
    for gate in gates.UNDER_THE_FENCE:
        for why in gate(ctx):
            raise GateClosed(
                why, hint=f"the {ctx.source.side} is writable again; mend it, then the same command"
            )
