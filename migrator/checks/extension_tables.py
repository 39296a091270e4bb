"""Tables that belong to an extension hold no rows of the user.

Why it matters: an extension's tables are made by create extension, not by the migration, and their rows
(jobs, partition configuration, reference systems) are neither copied nor streamed.
How to fix: carry the rows over by hand after copy_schema, and once more before the cutover if they change.
When to ignore: the extension works without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.extension_rows import tables_with_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List those with rows that the extension calls the user's."""
    for extension, relation in tables_with_rows(ctx.source):
        yield Finding(
            Severity.WARN,
            relation,
            f"rows of {relation}, a table of extension {extension}, are not migrated",
            f"copy the rows of {relation} by hand where they are yours",
        )
