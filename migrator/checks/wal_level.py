"""The source writes WAL that can be decoded.

Why it matters: without wal_level = logical no slot can be created.
How to fix: alter system set wal_level = logical, and restart the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL

WAL_LEVEL = "select current_setting('wal_level')"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Read the setting on the source; on the destination it only matters for a way back."""
    for session, severity in ((ctx.source, Severity.BLOCK), (ctx.destination, Severity.WARN)):
        level = session.value(WAL_LEVEL)
        if level != "logical":
            yield Finding(
                severity,
                session.side,
                f"wal_level is {level}",
                "alter system set wal_level = logical; -- then restart the server",
                session.side,
            )
