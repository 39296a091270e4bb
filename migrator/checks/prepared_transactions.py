"""No prepared transaction is open on the source.

Why it matters: the slot's creation waits for every open transaction, and a prepared one may stay open
for ever; it can neither be moved nor fenced.
How to fix: commit prepared or rollback prepared each one that is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "replicate", "cut_over")
PREPARED = "select gid, database, prepared from pg_catalog.pg_prepared_xacts order by prepared"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List them: those of other databases hold up the slot too."""
    for row in ctx.source.rows(PREPARED):
        yield Finding(
            Severity.BLOCK,
            row.gid,
            f"prepared transaction {row.gid!r} in database {row.database} is open since "
            f"{row.prepared:%Y-%m-%d %H:%M:%S %Z}",
            "commit prepared '…' or rollback prepared '…'",
        )
