"""End the sessions that still sit on the destination from before the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import sessions
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class EndDestinationSessions(Step):
    """End the sessions that still sit on the destination from before the way back.

    Changes: terminates client sessions of the destination's database that began before the writes were
    given back. Not ours, no walsender.
    Recognised by: our record that none was left, in the destination's journal.
    Locks and cost: the application reconnects.
    If it fails: the fence holds all the same; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """See whether they were ended."""
        back = ctx.mirrored()
        if handed_over(back) is None:
            return Absent()
        return Done() if sessions.are_ended(back) else Partial("sessions may be older than the way back")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """End them, and wait until they are gone."""
        sessions.end_old(ctx.mirrored())
