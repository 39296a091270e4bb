"""Source and destination are two clusters.

Why it matters: in one cluster the creation of a slot waits for every running transaction of the
cluster, that of the fence included, and both databases go down together.
How to fix: name a database of another cluster as the destination.
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
    """Compare the system identifiers."""
    if ctx.source_server.system_identifier == ctx.destination_server.system_identifier:
        yield Finding(
            Severity.BLOCK,
            "destination",
            "source and destination are in the same cluster (equal system identifiers)",
            "a database of another cluster",
        )
