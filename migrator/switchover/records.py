"""Who serves: what each side's journal says of having given the writes away, or taken them.

A side that hands over records ``cutover`` with a number, one above all before it, in the transaction that
raises its fence; the other one records ``opened``, and forgets its own ``cutover``, in the transaction
that lowers its fence. So the side with the newest ``cutover`` does not serve, and the other one does, or
will as soon as it is opened. Decided from the databases alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession

CUTOVER = "cutover"
OPENED = "opened"
# Where the pause of the last switchover went, in the journal of the side that serves since.
PAUSE = "pause"
# The same of the last rehearsal, in the source's.
REHEARSAL = "rehearsal"
REHEARSED = """
select detail, extract(epoch from clock_timestamp() - at)::float8 as age
from {schema}.journal
where event = 'rehearsal'
"""


def handed_over(ctx: ReadContext) -> dict[str, Any] | None:
    """Return the record of the source having given its writes away, or None when it serves.

    On a mirrored context it is the destination that is asked about: it has given them back.
    """
    given = Registry(ctx.source, ctx.names).read(CUTOVER)
    if given is None:
        return None
    back = Registry(ctx.destination, ctx.names).read(CUTOVER)
    return given if back is None or back["number"] < given["number"] else None


def opened(ctx: ReadContext) -> dict[str, Any] | None:
    """Return the record of the destination having been opened after that, or None."""
    return Registry(ctx.destination, ctx.names).read(OPENED) if handed_over(ctx) is not None else None


def pause(ctx: ReadContext) -> dict[str, Any]:
    """Return what the destination's journal says of where the pause went; empty when it was cut short."""
    return Registry(ctx.destination, ctx.names).read(PAUSE) or {}


def rehearsal(source: ReadSession, names: Names) -> dict[str, Any] | None:
    """Return the record of the last rehearsal with its age in seconds, or None."""
    rows = Registry(source, names).rows(REHEARSED)
    return {**rows[0].detail, "age_seconds": rows[0].age} if rows else None


def next_number(ctx: ReadContext) -> int:
    """Return the number of the next switchover."""
    records = [Registry(session, ctx.names).read(CUTOVER) for session in (ctx.source, ctx.destination)]
    return 1 + max((record["number"] for record in records if record is not None), default=0)
