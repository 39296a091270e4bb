"""No table whose rows migrate refers to one whose rows stay.

Why it matters: the foreign key cannot be valid on the destination.
How to fix: take the table that is referred to into [tables] include, or exclude the referring one too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import label, selected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

REFERENCES = """
select n.nspname as schema, c.relname as name, fn.nspname as other_schema, f.relname as other_name,
       k.conname as key
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
where k.contype = 'f' and c.relkind = 'r' and f.relkind = 'r'
order by 1, 2, 5
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare both ends of every foreign key with ``[tables]``."""
    options = ctx.config.tables
    for r in ctx.source.rows(REFERENCES):
        if selected(r.schema, r.name, options) and not selected(r.other_schema, r.other_name, options):
            yield Finding(
                Severity.BLOCK,
                label(r.schema, r.name),
                f"foreign key {r.key} of {label(r.schema, r.name)} refers to "
                f"{label(r.other_schema, r.other_name)}, whose rows are excluded",
                f'[tables] include = [..., "{r.other_schema}.{r.other_name}"]',
            )
