"""Tables that belong to an extension and hold the user's rows are known.

Why it matters: an extension's tables are made by create extension, not by the migration, and their rows
(jobs, partition configuration, reference systems) are neither copied nor streamed.
How to fix: carry the rows over by hand where they are yours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

CONFIGURATION = """
select e.extname as extension, t.oid::pg_catalog.regclass::text as relation
from pg_catalog.pg_extension e
cross join lateral unnest(e.extconfig) as t (oid)
join pg_catalog.pg_class c on c.oid = t.oid
where c.relkind = 'r'
order by 1, 2
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List them."""
    for row in ctx.source.rows(CONFIGURATION):
        yield Finding(
            Severity.WARN,
            row.relation,
            f"rows of {row.relation}, a table of extension {row.extension}, are not migrated",
            f"copy the rows of {row.relation} by hand where they are yours",
        )
