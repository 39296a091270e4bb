"""Every extension of the source can be created on the destination.

Why it matters: its types and functions are in the way of everything that uses them.
How to fix: install the extension's package on the destination's host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

INSTALLED = "select extname as name, extversion as version from pg_catalog.pg_extension order by 1"
AVAILABLE = "select name, default_version as version from pg_catalog.pg_available_extensions"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare by name; another default version is told."""
    available = {row.name: row.version for row in ctx.destination.rows(AVAILABLE)}
    for row in ctx.source.rows(INSTALLED):
        if row.name not in available:
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"extension {row.name} {row.version} is not available on the destination",
                f"install the package that brings {row.name} on the destination's host",
            )
        elif available[row.name] != row.version:
            yield Finding(
                Severity.INFO,
                row.name,
                f"extension {row.name} is {row.version} here and {available[row.name]} there",
            )
