"""Every table that will be published is stored as PostgreSQL stores tables.

Why it matters: whether changes can be read out of the WAL is up to a table's access method. What columnar
stores and their kin change is in no stream.
How to fix: alter table … set access method heap.
When to ignore: the access method's manual says that logical decoding works.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, label, selected
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
SINCE = Feature.TABLE_ACCESS_METHODS

# Another name for the same handler is the same method.
OTHERS = f"""
select n.nspname as schema, c.relname as name, pg_catalog.quote_ident(m.amname) as method
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_am m on m.oid = c.relam
where m.amhandler <> 'pg_catalog.heap_tableam_handler'::pg_catalog.regproc
  and c.relkind = 'r'
  and c.relpersistence = 'p'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 1, 2
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the handlers of the tables' access methods."""
    if not ctx.source_server.has(Feature.TABLE_ACCESS_METHODS):
        return
    can_alter = ctx.source_server.has(Feature.SET_ACCESS_METHOD)
    for row in ctx.source.rows(OTHERS):
        if not selected(row.schema, row.name, ctx.config.tables):
            continue
        table = label(row.schema, row.name)
        yield Finding(
            Severity.WARN,
            table,
            f"table {table} is stored by access method {row.method}, whose changes need not be in the stream",
            f"alter table {table} set access method heap;" if can_alter else f"store {table} as heap",
            "source" if can_alter else "",
        )
