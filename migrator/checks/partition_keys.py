"""Every row of a partitioned table belongs into the same partition on both sides.

Why it matters: rows are copied and streamed into the partition of the same name. Hash partitions of an enum
(or of what contains one) go by the enum's object ids, which are others on the destination; those of text go
by its bytes, which are others in another encoding: the destination refuses the rows.
How to fix: partition by list or by another column, before the migration; or leave the table out with
[tables] exclude and load it by hand through its root.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA, label, selected
from migrator.pg.column_types import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

# Of expressions, the columns that they read. The types' category S is that of strings.
HASHED = f"""
with recursive roots as (
    select k.partrelid as relation, a.attname as name, a.atttypid as type
    from pg_catalog.pg_partitioned_table k
    join pg_catalog.pg_attribute a on a.attrelid = k.partrelid
    where k.partstrat = 'h'
      and (a.attnum = any (k.partattrs::int2[])
           or k.partexprs is not null and exists (
               select
               from pg_catalog.pg_depend d
               where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                 and d.objid = k.partrelid
                 and d.objsubid = 0
                 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
                 and d.refobjid = k.partrelid
                 and d.refobjsubid = a.attnum
           ))
      and a.attnum > 0
),
{PARTS.format(roots="t.oid in (select type from roots)")}
select n.nspname as schema,
       c.relname as name,
       string_agg(distinct pg_catalog.quote_ident(r.name), ', ') filter (where t.typtype = 'e') as enums,
       string_agg(distinct pg_catalog.quote_ident(r.name), ', ')
           filter (where t.typtype = 'b' and t.typcategory = 'S') as texts,
       (select pg_catalog.json_agg(array[pn.nspname, q.relname])
        from pg_catalog.pg_inherits i
        join pg_catalog.pg_class q on q.oid = i.inhrelid
        join pg_catalog.pg_namespace pn on pn.oid = q.relnamespace
        where i.inhparent = c.oid) as partitions
from roots r
join part p on p.root = r.type
join pg_catalog.pg_type t on t.oid = p.type
join pg_catalog.pg_class c on c.oid = r.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where {USER_SCHEMA}
group by c.oid, 1, 2
order by 1, 2
"""
ENCODING = "select pg_catalog.current_setting('server_encoding')"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the keys of hash partitions."""
    recoded = ctx.source.value(ENCODING) != ctx.destination.value(ENCODING)
    for row in ctx.source.rows(HASHED):
        name = label(row.schema, row.name)
        if not any(selected(schema, part, ctx.config.tables) for schema, part in row.partitions or ()):
            continue
        if row.enums:
            yield Finding(
                Severity.BLOCK,
                name,
                f"table {name} is partitioned by the hash of an enum ({row.enums}): its rows belong into "
                "other partitions on the destination, which refuses them",
                f"partition {name} by list; or take its partitions into [tables] exclude",
            )
        elif row.texts and recoded:
            yield Finding(
                Severity.BLOCK,
                name,
                f"table {name} is partitioned by the hash of text ({row.texts}), and the destination has "
                "another encoding: rows belong into other partitions there, which refuse them",
                "create the destination with the source's encoding",
            )
