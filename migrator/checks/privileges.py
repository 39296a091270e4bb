"""Our roles may do what the migration does.

Why it matters: a missing right shows up in the middle of the night, half way through.
How to fix: use a superuser on both sides; this version needs one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the roles' attributes."""
    for server in (ctx.source_server, ctx.destination_server):
        if not server.superuser:
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"role {server.role} is not a superuser",
                f'alter role "{server.role}" superuser; -- for the time of the migration',
            )
