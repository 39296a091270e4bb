"""Lead the application to the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import routing

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class SwitchRoute(Step):
    """Lead the application to the destination.

    Changes: whatever ``[cutover] router`` stands for: ``manual`` asks the operator, ``command`` runs
    the configured programs, ``pgbouncer`` rewrites the database's line (the file as it was stays beside
    it), reloads and resumes, ``haproxy`` makes one server ready, puts the other one in maintenance and
    shuts its sessions down. The last two prove it by a query through them.
    Recognised by: the record in the destination's journal, written when the router is done.
    Locks and cost: none.
    If it fails: the source stays fenced and the destination takes writes; run the same command again,
    and the router is asked once more.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record."""
        record = routing.routed(ctx)
        return Absent() if record is None else Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Ask the router, then record it."""
        routing.lead(ctx)
