"""Drop the replication slots, which keep WAL from being recycled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.snapshot import EVENT, drop_slots, dropping, find_slots
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class DropSlot(Step):
    """Drop the replication slots, which keep WAL from being recycled.

    Changes: drops our slots on both sides, one for each stream.
    Recognised by: no slot of our name, and no record of one.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the slots."""
        events = [stream.event(EVENT) for stream in ctx.names.streams]
        found = {way.source: find_slots(way) for way in (ctx, ctx.mirrored())}
        theirs = [s.stream.slot for slots in found.values() for s in slots if not s.ours]
        if theirs:
            return Conflict(f"replication slot {', '.join(theirs)} was not recorded by migrator")
        for session, slots in found.items():
            if slots:
                return Partial(f"{len(slots)} slots on the {session.side}")
            if Registry(session, ctx.names).read_some(events):
                return Partial("the slot is gone and its record is left")
        return Done({"dropped": ctx.names.slot})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what drops each."""
        for way in (ctx, ctx.mirrored()):
            for slot in find_slots(way):
                yield Statement(way.source.side, dropping(slot).as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop them; a reader that still holds one is ended first."""
        for way in (ctx, ctx.mirrored()):
            drop_slots(way)
