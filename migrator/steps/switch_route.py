"""Lead the application to the destination."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator import routers
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "routed"


class SwitchRoute(Step):
    """Lead the application to the destination.

    Changes: whatever ``[cutover] router`` stands for: ``manual`` asks the operator, ``command`` runs
    the configured programs.
    Recognised by: the record in the destination's journal, written when the router is done.
    Locks and cost: none.
    If it fails: the source stays fenced and the destination takes writes; run the same command again,
    and the router is asked once more.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record."""
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        return Absent() if record is None else Done(record)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Ask the router, then record it."""
        kind = ctx.config.cutover.router
        router = routers.load(kind)
        router.close_source(ctx)
        router.point_to_destination(ctx)
        WritableRegistry(ctx.write_destination, ctx.names).record(EVENT, {"router": kind})
