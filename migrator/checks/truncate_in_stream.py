"""The source's TRUNCATE reaches the destination.

Why it matters: PostgreSQL 10 does not stream TRUNCATE (it came with 11): truncated rows stay on the
destination.
How to fix: do not truncate tables while the migration runs; the cutover is refused when it happened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the source's version."""
    if not ctx.source_server.has(Feature.TRUNCATE_IN_STREAM):
        yield Finding(
            Severity.WARN,
            "source",
            f"version {ctx.source_server.version_text} does not stream TRUNCATE",
            "use DELETE instead of TRUNCATE while the migration runs",
        )
