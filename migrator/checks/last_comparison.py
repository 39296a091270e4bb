"""All rows were compared since they were copied, not long ago, and none is known to be different.

Why it matters: what differs before the cutover is the application's to live with after it. The proof that
the cutover makes comes when the writes have changed hands already.
How to fix: migrator diff compares the rows while the application goes on, and tells which ones differ;
its --fix-sql FILE writes what would mend them; migrator rollback-to schema_copied copies all again. Nothing
stops a cutover without a comparison; a difference does, until that table was compared and found equal.
When to ignore: the rows that differ are known, and do not matter.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import published_tables
from migrator.report_diff import COUNT, DIFFERENT, UNDECIDED
from migrator.switchover import proof
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("cut_over",)
FIX = "migrator diff"
FRESH = timedelta(days=1)
NAMED = 5


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Ask what the last comparison of each table found, and the proof made when the writes came back."""
    if handed_over(ctx) is not None:
        return
    now, compared = datetime.now(UTC), ctx.compared()
    tables = [t.label for t in published_tables(ctx.source, ctx.names, sizes=False)]
    known = {label: compared[label] for label in tables if label in compared}
    last = proof.proof(ctx.mirrored())
    if last is not None:
        mended = all(label in known and known[label].verdict == "equal" for label in tables)
        differs = last["verdict"] == proof.DIFFERENT and not mended
        yield Finding(
            Severity.WARN if differs else Severity.INFO,
            "rows",
            f"last compared {timedelta(seconds=round(last['age_seconds']))} ago: {proof.told(last)}",
        )
    for label, table in known.items():
        if table.verdict in DIFFERENT:
            rows = f" in {table.different} of its rows or more" if table.different else ""
            ago = f"{timedelta(seconds=round((now - table.at).total_seconds()))} ago"
            message = f"{table.verdict}{rows} when it was last compared, {ago}"
            yield Finding(Severity.BLOCK, label, message, FIX)
    # That as many rows are on both sides says little.
    seen = {label: table for label, table in known.items() if table.how != COUNT}
    for what, found in (
        ("never compared since they were copied", [label for label in tables if label not in seen]),
        ("not decided when last compared", [k for k, t in seen.items() if t.verdict in UNDECIDED]),
        ("last compared more than a day ago", [k for k, t in seen.items() if now - t.at > FRESH]),
    ):
        if found:
            yield Finding(Severity.WARN, "rows", f"{_named(found, len(tables))}: {what}", FIX)


def _named(tables: list[str], total: int) -> str:
    """Return which tables, of how many."""
    if len(tables) == total:
        return f"all {total} tables" if total > 1 else tables[0]
    return f"{len(tables)} of {total} tables, {', '.join(tables[:NAMED])}{' …' * (len(tables) > NAMED)}"
