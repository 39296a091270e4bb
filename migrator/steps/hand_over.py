"""Take the writes away from the source and give them to the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.catalog import all_tables
from migrator.step import Absent, Done, Evidence, Found, Partial, Statement, Step
from migrator.switchover import opening, procedure, streams
from migrator.switchover.locking import fencing
from migrator.switchover.records import handed_over, pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class HandOver(Step):
    """Take the writes away from the source and give them to the destination.

    Changes: in one transaction on the source the fence is raised, the database's default becomes
    read-only, the cutover is recorded. Before its commit the router holds new transactions back (if it
    can), the destination has applied everything, what the stream does not carry is copied again
    (``copy_unstreamed``), the destination's sequences are set, the stream is stopped, and the slot of the
    stream that leads back is there. The commit is the point of no return. Right after it the destination
    is opened and the application led there; the steps that follow complete what was cut short. Where
    ``[cutover] fence`` is not ``lock``, writers are kept out before it: with ``read_only`` the database and
    every role are read-only by default and the triggers refuse, which is committed, and all sessions are
    ended; with ``command`` a program of yours runs.
    Recognised by: the record of the cutover in the source's journal.
    Locks and cost: before all that, while the application goes on, the rows of small tables are counted on
    both sides for at most ``[cutover] quick_diff``: one that is missing or too many stops the cutover. Then
    ``share row exclusive`` on every user table of the source, from the first lock to the commit: writers
    wait and see no error, readers go on. ``[cutover] max_pause`` bounds it. Where large objects are copied,
    ``pg_largeobject`` is locked too, and their readers wait as well; who still waits for one at the end is
    disconnected.
    If it fails: the transaction is rolled back by the server, whatever became of us, and the source
    serves on; run the same command again. What kept writers out before it is undone at once; where we are
    killed, ``read_only`` by a watchdog, ``command`` by the next run.
    Undo: not from here; before the commit there is nothing to undo, and after it the way back is
    ``migrator rollback-to replicating``.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record in the source's journal."""
        record = handed_over(ctx)
        return Absent() if record is None else Done(record)

    def verify(self, ctx: ReadContext) -> Evidence:
        """Look for the record, and for where the pause went."""
        with procedure.past_no_return():
            return {**super().verify(ctx), **pause(ctx)}

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the fence, which is committed when everything has arrived; then what opens the destination."""
        for statement in fencing(ctx, all_tables(ctx.source)):
            yield Statement("source", statement.as_string())
        for stopping in streams.stopping(ctx):
            yield Statement("destination", stopping.as_string())
        for opened in opening.opening(ctx, opening.all_settings(ctx)):
            yield Statement("destination", opened.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Hand over, within the budget."""
        watch = procedure.switch_over(ctx, opening.all_settings(ctx))
        procedure.record_parts(ctx, watch)
        ctx.note(f"writes were held back for {watch.total:.0f} ms: {watch.told}")
