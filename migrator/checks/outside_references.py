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
from migrator.pg.catalog import all_tables, wanted_tables
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

REFERENCES = """
select pg_catalog.quote_ident(conname) as name, conrelid as referring, confrelid as referred
from pg_catalog.pg_constraint
where contype = 'f'
  and confrelid = any (%s)
  and conrelid = any (%s)
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for foreign keys from a table outside to one inside."""
    if not ctx.source_server.has(Feature.TRUNCATE_IN_STREAM):
        return
    inside = {t.oid: t for t in wanted_tables(ctx.source, ctx.config.tables)}
    outside = {t.oid: t for t in all_tables(ctx.source) if t.kind == "r" and t.oid not in inside}
    if not outside:
        return
    for row in ctx.source.rows(REFERENCES, [list(inside), list(outside)]):
        here, there = outside[row.referring].label, inside[row.referred].label
        yield Finding(
            Severity.WARN,
            here,
            f"{here}, whose rows stay, refers to {there} ({row.name}): a TRUNCATE … CASCADE of {there} would "
            "stop the stream",
            f"truncate {there} never while the migration runs; or take {here} into [tables] include",
        )
