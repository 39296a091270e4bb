"""Both servers are of versions that this migration can work between.

Why it matters: logical replication exists since PostgreSQL 10, and a dump of a newer server need not
load into an older one.
How to fix: migrate to a destination that is at least as new as the source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the versions."""
    for server in (ctx.source_server, ctx.destination_server):
        if not server.has(Feature.LOGICAL_REPLICATION):
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"version {server.version_text} has no logical replication",
                "PostgreSQL 10 or newer",
            )
    if ctx.destination_server.major < ctx.source_server.major:
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"version {ctx.destination_server.version_text} is older than the source's "
            f"{ctx.source_server.version_text}",
            f"a destination of version {ctx.source_server.major} or newer",
        )
