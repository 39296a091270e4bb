"""Both servers are primaries.

Why it matters: a standby takes neither a publication nor the fence.
How to fix: give the primaries' addresses, or add target_session_attrs=read-write to the urls.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
WAIVABLE = False


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for a server in recovery."""
    for server in (ctx.source_server, ctx.destination_server):
        if server.in_recovery:
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"{server.where} is a standby",
                "give the primary's address",
            )
