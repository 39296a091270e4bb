"""Prepare the stream that leads back, while writes go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import MigratorError
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import gates, opposite
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class PrepareReturn(Step):
    """Prepare the stream that leads back, while writes go on.

    Changes: on the destination a publication of the same tables, on the source a disabled subscription to
    it, both named ``migrator_…``, one for each stream. Creating the subscription proves that the source
    reaches the destination (``[replication] destination_conninfo``). Its slot is created inside the
    cutover's fence, so that the way back begins exactly there. ``[cutover] reverse = "auto"`` goes on
    without it when it cannot be had, ``"off"`` does without.
    Recognised by: publication and subscription with our mark, of the tables that are published forward.
    Locks and cost: ``share update exclusive`` on the destination's tables for an instant; on the source
    none, and a connection to the destination.
    If it fails: nothing has happened to the application; run the same command again.
    Undo: drops both.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare what is published both ways, and look for the subscription."""
        if handed_over(ctx) is not None:
            return Done({"cutover": True})
        theirs = opposite.in_the_way(ctx)
        if theirs:
            return Conflict(f"{theirs} does not carry our mark", "rename or drop it")
        wanted = ctx.config.cutover.reverse
        if not opposite.is_anything(ctx):
            return Done({"reverse": "off"}) if wanted == "off" else Absent()
        if wanted == "off":
            return Partial("the way back is prepared, and [cutover] reverse is off")
        missing = opposite.missing(ctx)
        return Partial(f"missing: {', '.join(missing)}") if missing else Done({"reverse": "prepared"})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the publications on the destination and the disabled subscriptions on the source."""
        if ctx.config.cutover.reverse != "off":
            for side, statement in opposite.preparation(ctx):
                yield Statement(side, statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create what is missing; without a way back go on only where the configuration says so."""
        if ctx.config.cutover.reverse == "off":
            opposite.drop(ctx)
            return
        gates.record_storage(ctx)
        try:
            opposite.prepare(ctx)
        except MigratorError as error:
            if ctx.config.cutover.reverse == "required":
                raise
            opposite.drop(ctx)
            ctx.note(f"there will be no way back: {error.message}")

    def verify(self, ctx: ReadContext) -> dict[str, object]:
        """Accept that there is none where the configuration does."""
        if ctx.config.cutover.reverse == "auto" and not opposite.is_anything(ctx):
            return {"reverse": "not to be had"}
        return super().verify(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Drop the stream that leads back."""
        if handed_over(ctx) is None:
            opposite.drop(ctx)
