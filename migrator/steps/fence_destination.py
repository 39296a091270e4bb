"""Close the destination to everybody but the stream, until the cutover opens it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.catalog import all_tables
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import fence, prelude

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

HINT = "this database takes writes after the cutover; until then write to the source"


class FenceDestination(Step):
    """Close the destination to everybody but the stream, until the cutover opens it.

    Changes: fence triggers on every user table of the destination, their function, which refuses, and
    its read-only default. The stream's apply worker passes both.
    Recognised by: a fence trigger on every user table, the fence up, and the default.
    Locks and cost: nothing on the source; ``share row exclusive`` for an instant per table, given up
    and tried again when the stream's worker is in the way.
    If it fails: tables fenced so far stay fenced; the next run fences the rest.
    Undo: drops the triggers and resets the default, that of roles too where a hand-over back has set it.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the tables with those whose fence is up."""
        if Registry(ctx.destination, ctx.names).read("opened") is not None:
            return Done({"opened": True})
        theirs = fence.in_the_way(ctx.destination, ctx.names)
        if theirs:
            return Conflict(theirs, "rename or drop them")
        tables = all_tables(ctx.destination)
        covered = fence.covered(ctx.destination, ctx.names)
        is_read_only = fence.is_read_only(ctx.destination)
        if not is_read_only and not fence.standing(ctx.destination, ctx.names):
            return Absent()
        if not fence.is_up(ctx.destination, ctx.names):
            return Partial("the fence is down")
        closed = sum(t.oid in covered for t in tables)
        if closed == len(tables) and is_read_only:
            return Done({"tables": closed})
        return Partial(f"{closed} of {len(tables)} tables are fenced")

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the read-only default, the function that refuses, and the triggers."""
        side = "destination"
        yield Statement(side, fence.read_only(ctx.destination_server.database, on=True).as_string())
        yield Statement(side, fence.raising(ctx.names).as_string())
        for trigger in fence.triggers(ctx.destination, ctx.names, HINT):
            yield Statement(side, trigger.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Set the default, then raise the fence and put it where it is missing."""
        session = ctx.write_destination
        fence.set_read_only(session, ctx.destination_server.database, on=True)
        fence.prepare(ctx, session, HINT, up=True)

    def undo(self, ctx: WriteContext) -> None:
        """Drop the triggers and reset the default."""
        if isinstance(self.probe(ctx), Absent):
            return
        session = ctx.write_destination
        fence.drop(ctx, session)
        with session.transaction():
            fence.set_read_only(session, ctx.destination_server.database, on=False)
            session.run(prelude.restoring(ctx.names))
