"""A quick look before the fence: whether small tables have as many rows on both sides, while writes go on.

It is bounded by ``[cutover] quick_diff``, and the application is not held back for it. What it finds is
proven (``diff/looks.py``); what it does not find is not: rows are counted, and not looked into.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.counts import BATCH_ROWS, count_briefly
from migrator.diff.looks import Verdict
from migrator.errors import GateClosed
from migrator.pg.catalog import published_tables
from migrator.report_diff import DIFFERENT
from migrator.switchover import drain

if TYPE_CHECKING:
    from migrator.context import WriteContext
    from migrator.diff.looks import Look
    from migrator.pg.session import ReadSession

NAMED = 10


def look(ctx: WriteContext) -> None:
    """Raise GateClosed where rows are missing or too many.

    A table that a comparison has found different is left out: whoever got here goes on with it.
    """
    seconds = ctx.config.cutover.quick_diff
    if not seconds:
        return
    known = ctx.compared()
    tables = [
        t
        for t in published_tables(ctx.source, ctx.names, sizes=False)
        if t.rows <= BATCH_ROWS and not (t.label in known and known[t.label].verdict in DIFFERENT)
    ]

    def applied(_publisher: ReadSession, _position: int) -> None:
        drain.wait_for(ctx, drain.beat(ctx), timeout=seconds)

    found = count_briefly(ctx, tables, seconds=seconds, applied=applied)
    differing = [
        _told(c.table.label, c.look, ctx.destination.side)
        for c in found
        if c.look and c.look.verdict is Verdict.DIFFERS
    ]
    if differing:
        raise GateClosed(
            f"the rows are not the same on both sides: {'; '.join(differing[:NAMED])}",
            hint="migrator diff tells which; mend them, then the same command",
            tables=differing,
        )
    equal = sum(c.look is not None and c.look.verdict is Verdict.EQUAL for c in found)
    ctx.note(f"a quick look: {equal} of {len(tables)} small tables have as many rows on both sides")


def _told(label: str, look: Look, side: str) -> str:
    amounts = ((look.missing, "not"), (look.surplus, "only"))
    return f"{label} has " + ", ".join(
        f"{rows} rows or more {how} on the {side}" for rows, how in amounts if rows
    )
