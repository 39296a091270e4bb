"""Lead the application to the side that takes the writes by now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.pg.registry import Registry, WritableRegistry
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, WriteContext

ROUTED = "routed"


def routed(ctx: ReadContext) -> dict[str, Any] | None:
    """Return the record of the application having been led to the destination by this switchover, or None."""
    given = handed_over(ctx)
    record = Registry(ctx.destination, ctx.names).read(ROUTED)
    return record if given and record and record["number"] == given["number"] else None


def lead(ctx: WriteContext, number: int | None = None, then: Callable[[], object] = lambda: None) -> None:
    """Keep the application away from the source, lead it to the destination, and record it there.

    ``number`` is the switchover's, where it is known; ``then`` is called when clients can go on, before
    that is proven. A router that is not ``instant`` does the first only where the context does not lead.
    """
    if number is None:
        number = (handed_over(ctx) or {})["number"]
    ctx.router.close(ctx, ctx.roles)
    if not ctx.leads and not ctx.router.instant:
        return
    ctx.router.switch(ctx, ctx.roles, then)
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    registry.record(ROUTED, {"number": number, "router": ctx.config.cutover.router})
