"""Every table with replica identity full has rows that can be told apart, and found by an index.

Why it matters: where such a table has no primary key, the stream's worker looks for each row that is
updated or deleted by comparing all columns. A type without equality (json, xml, point …) stops it at the
first such change. Without a primary key it reads the table from its beginning, for every row; from 16 on
it uses a btree index, from 17 on also a hash index, over columns that come first in it.
How to fix: add a primary key, or a unique index over columns that are not null, and have replica identity
use it; or an index on a column that tells most rows apart, where both servers can use it.
When to ignore: the table only gets inserts, or is updated so seldom that reading it each time is no matter.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, label, selected
from migrator.pg.column_types import HAS_EQUALITY, PARTS
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "replicate")
# Smaller tables are read through in a few milliseconds.
LARGE = 8 * 1024 * 1024

FULL = f"""
select c.oid, n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relreplident = 'f'
  and c.relkind = 'r'
  and c.relpersistence = 'p'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 2, 3
"""
# The key is what the worker finds rows by, whatever the identity (GetRelationIdentityOrPK).
KEYLESS = """
select c.oid,
       pg_catalog.pg_relation_size(c.oid) as bytes,
       exists (
           select
           from pg_catalog.pg_index i
           join pg_catalog.pg_class x on x.oid = i.indexrelid
           join pg_catalog.pg_am m on m.oid = x.relam
           where i.indrelid = c.oid
             and m.amname = any (%s)
             and i.indisvalid
             and i.indpred is null
             and i.indkey[0] <> 0
       ) as indexed
from pg_catalog.pg_class c
where c.oid = any (%s)
  and not exists (
      select
      from pg_catalog.pg_index i
      where i.indrelid = c.oid and i.indisprimary and i.indimmediate and i.indisvalid
  )
"""
# The values of generated columns are compared on neither side.
WITHOUT_EQUALITY = f"""
with recursive {
    PARTS.format(
        roots='''t.oid in (
    select a.atttypid
    from pg_catalog.pg_attribute a
    where a.attrelid = any (%(tables)s) and a.attnum > 0 and not a.attisdropped
)'''
    )
},
unequal (type) as (
    select p.root
    from part p
    join pg_catalog.pg_type t on t.oid = p.type
    where t.typtype = 'b'
      and not (t.typelem <> 0 and t.typlen = -1)
      and not {HAS_EQUALITY.format(methods="'btree', 'hash'")}
)
select a.attrelid as relation,
       string_agg(
           pg_catalog.format('%%I (%%s)', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)),
           ', ' order by a.attnum
       ) as columns
from pg_catalog.pg_attribute a
where a.attrelid = any (%(tables)s)
  and a.attnum > 0
  and not a.attisdropped
  and coalesce(to_jsonb(a) ->> 'attgenerated', '') = ''
  and a.atttypid in (select type from unequal)
group by 1
"""
# The column that tells most rows apart, of a type that an index can be made of and short enough for one.
SELECTIVE = f"""
select distinct on (a.attrelid) a.attrelid as relation, pg_catalog.quote_ident(a.attname) as column
from pg_catalog.pg_statistic s
join pg_catalog.pg_class c on c.oid = s.starelid
join pg_catalog.pg_attribute a on a.attrelid = s.starelid and a.attnum = s.staattnum
join pg_catalog.pg_type t on t.oid = a.atttypid
where s.starelid = any (%s)
  and not s.stainherit
  and s.stawidth < 200
  and not a.attisdropped
  and coalesce(to_jsonb(a) ->> 'attgenerated', '') = ''
  and {HAS_EQUALITY.format(methods="'btree'")}
order by a.attrelid,
         case when s.stadistinct < 0 then -s.stadistinct * c.reltuples else s.stadistinct end desc,
         a.attnum
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the tables whose identity is full."""
    full = {
        row.oid: label(row.schema, row.name)
        for row in ctx.source.rows(FULL)
        if selected(row.schema, row.name, ctx.config.tables)
    }
    if not full:
        return
    appliers = [ctx.destination_server]
    if ctx.config.cutover.reverse != "off":
        appliers.append(ctx.source_server)
    can_use = all(server.has(Feature.FULL_IDENTITY_BY_BTREE) for server in appliers)
    methods = ["btree"]
    if all(server.has(Feature.FULL_IDENTITY_BY_HASH) for server in appliers):
        methods.append("hash")
    keyless = {row.oid: row for row in ctx.source.rows(KEYLESS, [methods, list(full)])}
    for row in ctx.source.rows(WITHOUT_EQUALITY, {"tables": list(keyless)}):
        table = full[row.relation]
        yield Finding(
            Severity.BLOCK,
            table,
            f"table {table} has replica identity full, no primary key, and columns of types without "
            f"equality: {row.columns}; the first UPDATE or DELETE would stop the stream",
            f"add a primary key to {table}; or waive this where the table only gets inserts",
        )
    slow = {oid: row for oid, row in keyless.items() if row.bytes >= LARGE and not (row.indexed and can_use)}
    column: dict[int, str] = {}
    if can_use:
        column = {row.relation: row.column for row in ctx.source.rows(SELECTIVE, [list(slow)])}
    for oid, row in slow.items():
        table, ready = full[oid], oid in column
        yield Finding(
            Severity.WARN,
            table,
            f"table {table} has replica identity full and nothing to find rows by: for each row that is "
            f"updated or deleted the stream's worker reads it through, {Size(row.bytes).text}",
            f"create index concurrently on {table} ({column[oid]});"
            if ready
            else f"add a primary key to {table}, or a unique index over columns that are not null",
            "source" if ready else "",
        )
