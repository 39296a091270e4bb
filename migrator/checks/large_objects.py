"""Large objects are known and decided about.

Why it matters: logical replication does not carry them.
How to fix: move them into bytea columns, or [tables] large_objects = "ignore" to leave them behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

BEFORE = ("plan", "copy_schema", "cut_over")

COUNT = "select count(*) from pg_catalog.pg_largeobject_metadata"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Count them."""
    count = ctx.source.value(COUNT)
    if count:
        ignored = ctx.config.tables.large_objects == "ignore"
        yield Finding(
            Severity.WARN if ignored else Severity.BLOCK,
            "large objects",
            f"the source holds {count} large objects, which are not migrated",
            '[tables] large_objects = "ignore"',
        )
