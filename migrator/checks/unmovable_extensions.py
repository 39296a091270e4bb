"""No table's rows are managed by an extension that logical replication passes by.

Why it matters: the chunks of a hypertable (timescaledb) and the shards of a distributed table (citus) look
like tables, and mean something to their extension alone: they can be neither restored from a dump of the
schema nor streamed as tables.
How to fix: make ordinary or partitioned tables of them before the migration, or move them by the extension's
own means and take them into [tables] exclude.
When to ignore: those tables are excluded, and moved otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

CHUNKS = """
select count(*) as chunks
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = '_timescaledb_internal'
  and c.relname ~ '^(_hyper_|compress_hyper_)'
  and c.relkind = 'r'
  and exists (select from pg_catalog.pg_extension where extname = 'timescaledb')
"""
# Citus keeps its list among the catalogs.
HAS_LIST = "select pg_catalog.to_regclass('pg_catalog.pg_dist_partition') is not null"
DISTRIBUTED = """
select logicalrelid::pg_catalog.regclass::text as name
from pg_catalog.pg_dist_partition
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for chunks and distributed tables."""
    chunks = ctx.source.value(CHUNKS)
    if chunks:
        yield Finding(
            Severity.BLOCK,
            "timescaledb",
            f"{chunks} tables are chunks of hypertables: they can be neither restored nor streamed as tables",
            "make partitioned tables of the hypertables, or move them by timescaledb's own means",
        )
    for row in ctx.source.rows(DISTRIBUTED) if ctx.source.value(HAS_LIST) else ():
        yield Finding(
            Severity.BLOCK,
            row.name,
            f"table {row.name} is distributed by citus: its rows are in shards, not streamed as its own",
            f"make {row.name} a local table (undistribute_table), or move it by citus' own means",
        )
