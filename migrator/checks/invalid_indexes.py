"""Every index of the source is valid.

Why it matters: an index that create index concurrently has left unfinished is maintained and used by no
query; it is not dumped, so the destination does not have it.
How to fix: reindex it, or drop it.
When to ignore: it is being built just now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

# That of a partitioned table is invalid until every partition has its part; it is dumped all the same.
INVALID = f"""
select i.indexrelid::pg_catalog.regclass::text as name, c.oid::pg_catalog.regclass::text as relation
from pg_catalog.pg_index i
join pg_catalog.pg_class x on x.oid = i.indexrelid
join pg_catalog.pg_class c on c.oid = i.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where not i.indisvalid
  and x.relkind = 'i'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List those that are not."""
    mend = "reindex index" if ctx.source_server.has(Feature.REINDEX_CONCURRENTLY) else "drop index"
    for row in ctx.source.rows(INVALID):
        yield Finding(
            Severity.INFO,
            row.name,
            f"index {row.name} of {row.relation} is not valid: no query uses it, and it is not copied",
            f"{mend} concurrently {row.name};",
            "source",
        )
