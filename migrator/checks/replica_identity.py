"""Every table that will be published has a usable replica identity.

Why it matters: from the moment a table without one is published, UPDATE and DELETE on it fail in the
live application: cannot update table because it does not have a replica identity. Usable is a primary key
or the index that was chosen, if it is valid, whole (no WHERE), not deferrable, and over columns that are
plain, not null and not generated. An identity whose index was dropped is none.
How to fix: add a primary key, or alter table … replica identity using index …, or, where rows have no
key at all, alter table … replica identity full: each UPDATE and DELETE then writes the whole old row to
the WAL and costs the destination a search. A table that only gets inserts pays nothing for full.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import GENERATED_KEY, unidentified, wanted_tables
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
WAIVABLE = False
BEFORE = ("plan", "copy_schema", "replicate")

# Those that replica identity may be set to, the primary key first, then the narrowest.
CANDIDATES = """
select i.indrelid as relation, pg_catalog.quote_ident(x.relname) as name
from pg_catalog.pg_index i
join pg_catalog.pg_class x on x.oid = i.indexrelid
where i.indrelid = any (%s)
  and i.indisunique
  and i.indimmediate
  and i.indisvalid
  and i.indisready
  and i.indpred is null
  and i.indexprs is null
  and not exists (
      select
      from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.{columns} and not a.attnotnull
  )
  and not {generated}
order by i.indisprimary desc, i.{columns}, i.indexrelid
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at every table that ``[tables]`` takes in."""
    bad = {t.oid: t for t in unidentified(wanted_tables(ctx.source, ctx.config.tables))}
    columns = "indnkeyatts" if ctx.source_server.has(Feature.COVERING_INDEXES) else "indnatts"
    index: dict[int, str] = {}
    for row in ctx.source.rows(CANDIDATES.format(columns=columns, generated=GENERATED_KEY), [list(bad)]):
        index.setdefault(row.relation, row.name)
    for oid, table in bad.items():
        how = f"using index {index[oid]}" if oid in index else "full"
        yield Finding(
            Severity.BLOCK,
            table.label,
            f"table {table.label} has no usable replica identity: its UPDATE and DELETE would fail "
            "as soon as it is published",
            f"alter table {table.label} replica identity {how};",
            "source",
        )
