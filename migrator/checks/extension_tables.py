"""Tables that belong to an extension hold no rows of the user.

Why it matters: an extension's tables are made by create extension, not by the migration, and their rows
(jobs, partition configuration, reference systems) are neither copied nor streamed.
How to fix: carry the rows over by hand after copy_schema, and once more before the cutover if they change.
When to ignore: the extension works without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

# An extension says of each such table which rows are the user's, as pg_dump asks for them.
CONFIGURATION = """
select e.extname as extension,
       c.oid::pg_catalog.regclass::text as relation,
       pg_catalog.format(
           'select exists (select from %s %s)', c.oid::pg_catalog.regclass, t.condition) as query
from pg_catalog.pg_extension e
cross join lateral unnest(e.extconfig, e.extcondition) as t (oid, condition)
join pg_catalog.pg_class c on c.oid = t.oid
where c.relkind in ('r', 'p')
order by 1, 2
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List those with rows that the extension calls the user's."""
    for row in ctx.source.rows(CONFIGURATION):
        if ctx.source.value(row.query):
            yield Finding(
                Severity.WARN,
                row.relation,
                f"rows of {row.relation}, a table of extension {row.extension}, are not migrated",
                f"copy the rows of {row.relation} by hand where they are yours",
            )
