"""Let the destination take the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.database import changes, database_properties, known_to
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import drain, fence, streams
from migrator.switchover.procedure import cutover_record

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "opened"


class OpenDestination(Step):
    """Let the destination take the writes.

    Changes: stops the forward streams when they have brought the cutover's tokens; the destination's fence
    lets everything through from now on, its read-only default is reset, and the settings that were held
    back (timeouts, preloaded libraries) become the source's.
    Recognised by: the record in the destination's journal, written in the same transaction.
    Locks and cost: no table's lock, so nobody can be in the way; milliseconds.
    If it fails: the source stays fenced and the destination closed; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record, and for a fence that is still up."""
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        if cutover_record(ctx) is None or record is None:
            return Absent()
        return Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Open everything in one transaction, after the last tokens are there and the streams are stopped.

        The tokens are waited for again: the apply worker commits asynchronously, and a destination that
        crashed after the cutover may have lost what it had shown. Our own commit is synchronous.
        """
        record = cutover_record(ctx) or {}
        if drain.missing(ctx, record["tokens"]):
            streams.enable(ctx)
            ctx.wait_until(
                lambda: not drain.missing(ctx, record["tokens"]),
                what="the stream to bring again what came before the cutover",
                timeout=300,
                explain=lambda: ", ".join(drain.missing(ctx, record["tokens"])),
            )
        if any(s.ours and s.enabled for s in streams.find_subscriptions(ctx)):
            streams.disable(ctx)
        session = ctx.write_destination
        now = database_properties(session)
        wanted, left_out = known_to(session, database_properties(ctx.source))
        with session.transaction():
            fence.let_through(session, ctx.names)
            fence.set_read_only(session, ctx.destination_server.database, on=False)
            for statement in changes("database", ctx.destination_server.database, now, wanted):
                session.run(statement)
            WritableRegistry(session, ctx.names).record(EVENT, {"settings_left_out": left_out})
