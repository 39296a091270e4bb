"""Every table that will be published has a usable replica identity.

Why it matters: from the moment a table without one is published, UPDATE and DELETE on it fail in the
live application: cannot update table because it does not have a replica identity.
How to fix: add a primary key, or alter table … replica identity using index …, or, where rows have no
key at all, alter table … replica identity full (each change then costs the destination a search).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import unidentified, wanted_tables
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
WAIVABLE = False
BEFORE = ("plan", "copy_schema", "replicate")

CANDIDATES = """
select i.indrelid as relation, pg_catalog.quote_ident(x.relname) as name
from pg_catalog.pg_index i
join pg_catalog.pg_class x on x.oid = i.indexrelid
where i.indrelid = any (%s)
  and i.indisunique
  and i.indimmediate
  and i.indisvalid
  and i.indpred is null
  and i.indexprs is null
  and not exists (
      select
      from unnest(i.indkey::int2[]) with ordinality as k (attnum, place)
      join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      where k.place <= i.indnkeyatts and not a.attnotnull
  )
order by i.indexrelid
"""
CANDIDATES_10 = CANDIDATES.replace("i.indnkeyatts", "i.indnatts")
WITHOUT_EQUALITY = """
select distinct a.attrelid as relation, pg_catalog.quote_ident(a.attname) as name
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
where a.attrelid = any (%s)
  and a.attnum > 0
  and not a.attisdropped
  and t.typname in ('json', 'xml', 'point', 'polygon', 'box', 'circle', 'line', 'lseg', 'path')
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at every table that ``[tables]`` takes in."""
    tables = wanted_tables(ctx.source, ctx.config.tables)
    bad = {t.oid: t for t in unidentified(tables)}
    query = CANDIDATES if ctx.source_server.has(Feature.COVERING_INDEXES) else CANDIDATES_10
    index: dict[int, str] = {}
    for row in ctx.source.rows(query, [list(bad)]):
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
    full = {t.oid: t for t in tables if t.identity == "full"}
    for row in ctx.source.rows(WITHOUT_EQUALITY, [list(full)]):
        label = full[row.relation].label
        yield Finding(
            Severity.BLOCK,
            label,
            f"table {label} has replica identity full and column {row.name} of a type without "
            "equality: the destination could not find its rows",
            f"add a key, then alter table {label} replica identity default;",
        )
