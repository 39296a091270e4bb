"""Drop the fence triggers on both sides, and leave the source read-only if so configured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import fence, prelude

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class DropFence(Step):
    """Drop the fence triggers on both sides, and leave the source read-only if so configured.

    Changes: drops our triggers. ``[cleanup] source_read_only`` (the default) keeps the read-only
    default of the source's database, so that nobody writes to it by mistake; ``false`` resets it. So it is
    with roles that the cutover made read-only; what they had is told.
    Recognised by: no trigger of our name on either side, the default as configured.
    Locks and cost: ``access exclusive`` for an instant per table, given up and tried again when
    somebody is in the way.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Count the triggers of our name, and look at the default."""
        for session in (ctx.source, ctx.destination):
            theirs = fence.in_the_way(session, ctx.names)
            if theirs:
                return Conflict(theirs, "rename or drop them")
        keep = ctx.config.cleanup.source_read_only
        left = sum(len(fence.standing(s, ctx.names)) for s in (ctx.source, ctx.destination))
        registry = Registry(ctx.source, ctx.names)
        if left:
            return Partial(f"{left} fence triggers are left")
        if registry.is_ours() and fence.is_read_only(ctx.source) != keep:
            return Partial("the source's read-only default is not as configured")
        return Done({"source_read_only": fence.is_read_only(ctx.source)})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what becomes of the default, and the triggers that go."""
        keep = ctx.config.cleanup.source_read_only
        yield Statement("source", fence.read_only(ctx.source_server.database, on=keep).as_string())
        for session in (ctx.destination, ctx.source):
            for _, statement in fence.dropping(session, ctx.names):
                yield Statement(session.side, statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Set the default first, so that the source is never without any fence that it shall keep."""
        session, database = ctx.write_source, ctx.source_server.database
        keep = ctx.config.cleanup.source_read_only
        by_hand = prelude.restoring_by_hand(session, ctx.names, database) if keep else []
        if by_hand:
            ctx.note(f"roles stay read-only there, until you say otherwise: {'; '.join(by_hand)}")
        with session.transaction():
            fence.set_read_only(session, database, on=keep)
            if not keep:
                session.run(prelude.restoring(ctx.names))
        fence.drop(ctx, ctx.write_destination)
        fence.drop(ctx, ctx.write_source)
