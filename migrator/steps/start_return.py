"""Start the stream that leads back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.snapshot import dropping, find_slots
from migrator.step import Absent, Done, Found, Partial, Statement, Step
from migrator.switchover import opposite, streams
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class StartReturn(Step):
    """Start the stream that leads back.

    Changes: enables the subscription on the source, which receives from now on what the application writes
    to the destination; drops the forward slots on the source, which would keep its WAL.
    Recognised by: the subscription enabled, no forward slot left.
    Locks and cost: applying on the source what is written on the destination.
    If it fails: the application goes on at the destination, and its slot keeps WAL there until the stream
    runs; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look at the subscription and for forward slots."""
        if handed_over(ctx) is None:
            return Absent()
        if opposite.is_live(ctx):
            return Done({"reverse": "live" if opposite.is_anything(ctx) else "off"})
        return Partial("the stream that leads back does not run, or a forward slot is left")

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what starts the stream back, and the slots that go."""
        for statement in streams.starting(ctx.mirrored()):
            yield Statement("source", statement.as_string())
        for slot in find_slots(ctx):
            yield Statement("source", dropping(slot).as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Start it."""
        opposite.begin(ctx)
