"""No table that stays behind refers to one whose rows migrate.

Why it matters: TRUNCATE … CASCADE on the source empties both tables and is streamed for the one that
migrates; the destination refuses to truncate a table that another one refers to, and the stream stops there
until its subscription skips that transaction.
How to fix: take the referring table into [tables] include; or truncate no such table while the migration
runs (DELETE is streamed row by row).
When to ignore: nobody truncates the table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import label, selected
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

REFERENCES = """
select pg_catalog.quote_ident(k.conname) as key,
       n.nspname as schema, c.relname as name, c.relpersistence = 'p' as is_logged,
       fn.nspname as other_schema, f.relname as other_name, f.relpersistence = 'p' as other_is_logged
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
where k.contype = 'f'
  -- What partitions have because their roots have it is told with these.
  and coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0'
  and c.relkind in ('r', 'p')
  and f.relkind in ('r', 'p')
  and c.oid <> f.oid
order by 2, 3, 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for foreign keys from a table outside to one inside."""
    if not ctx.source_server.has(Feature.TRUNCATE_IN_STREAM):
        return
    options = ctx.config.tables
    for row in ctx.source.rows(REFERENCES):
        inside = row.is_logged and selected(row.schema, row.name, options)
        if inside or not (row.other_is_logged and selected(row.other_schema, row.other_name, options)):
            continue
        here, there = label(row.schema, row.name), label(row.other_schema, row.other_name)
        yield Finding(
            Severity.WARN,
            here,
            f"{here}, whose rows stay, refers to {there} ({row.key}): a TRUNCATE … CASCADE of {there} would "
            "stop the stream",
            f"truncate {there} never while the migration runs; or take {here} into [tables] include",
        )
