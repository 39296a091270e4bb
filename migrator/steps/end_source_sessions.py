"""End the sessions that still sit on the source from before the cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import StepFailed
from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import gates, sessions, unstreamed
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class EndSourceSessions(Step):
    """End the sessions that still sit on the source from before the cutover.

    Changes: terminates client sessions of the source's database that began before the cutover, so
    that they come back under its read-only default, or on the destination. Not ours, no walsender.
    Recognised by: our record that none was left, in the source's journal.
    Locks and cost: the application reconnects.
    If it fails: the fence holds all the same; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """See whether they were ended."""
        if handed_over(ctx) is None:
            return Absent()
        return Done() if sessions.are_ended(ctx) else Partial("sessions may be older than the cutover")

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """End them, wait until they are gone, and make sure that none has left a new table behind."""
        sessions.end_old(ctx)
        for why in unstreamed.written_late(ctx, handed_over(ctx) or {}):
            raise StepFailed(
                f"{why}; the application goes on at the destination, without these changes",
                hint="copy them by hand, unlink them on the source (set default_transaction_read_only = "
                "off), then migrator advance",
            )
        for why in gates.no_table_is_left_out(ctx):
            raise StepFailed(
                f"{why}; the application goes on at the destination, without these tables",
                hint="copy them by hand, drop them on the source (set default_transaction_read_only = off), "
                "then migrator advance",
            )
