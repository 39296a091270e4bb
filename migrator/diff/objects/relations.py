"""Schemas, relations with their columns, and sequences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.found import RELATION, mine
from migrator.diff.objects.kind import (
    Kind,
    about,
    collation,
    depends_on,
    flag,
    in_order,
    listed,
    privileges,
    qualified,
    quoted,
    relation,
    type_name,
)
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

KIND_OF_RELATION = """
case c.relkind
    when 'v' then 'view'
    when 'm' then 'materialized view'
    when 'f' then 'foreign table'
    else 'table'
end
"""
# As other objects are said to be part of it.
OF_RELATION = f"{KIND_OF_RELATION} || ' ' || {qualified('c.relname')}"
OF_SCHEMA = f"'schema ' || {quoted('n.nspname')}"

PARENTS = f"""
select {relation("i.inhparent")}
from pg_catalog.pg_inherits i
where i.inhrelid = c.oid
order by i.inhseqno
"""
COLUMN_ORDER = f"""
select {quoted("a.attname")}
from pg_catalog.pg_attribute a
where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
COLUMNS_OF_VIEW = f"""
select concat_ws(
           ' ', {quoted("a.attname")}, {type_name("a.atttypid", "a.atttypmod")},
           'collate ' || {collation("a.attcollation", "t.typcollation")},
           'default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid))
from pg_catalog.pg_attribute a
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
IDENTITY_INDEX = f"""(
    select {quoted("x.relname")}
    from pg_catalog.pg_index i
    join pg_catalog.pg_class x on x.oid = i.indexrelid
    where i.indrelid = c.oid and i.indisreplident
)"""
NOT_VALID_NOT_NULL = """
(a.attrelid, a.attnum) in (
    select k.conrelid, k.conkey[1]
    from pg_catalog.pg_constraint k
    where k.contype = 'n' and k.conrelid <> 0 and not k.convalidated
)
"""
TOAST_OPTIONS = """
select o
from pg_catalog.pg_class t
cross join unnest(t.reloptions) o
where t.oid = c.reltoastrelid
"""
OWNED_BY = f"""
left join lateral (
    select q.relkind as relkind, {relation("d.refobjid")} as table, {quoted("a.attname")} as column
    from pg_catalog.pg_depend d
    join pg_catalog.pg_class q on q.oid = d.refobjid
    join pg_catalog.pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
    where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.objid = c.oid
      and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and d.deptype in ('a', 'i')
) o on true
"""


def unless_view(expression: str) -> str:
    """Return the SQL of what is told with the view where it is of one."""
    return f"case when c.relkind not in ('v', 'm') then {expression} end"


def schemas(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'schema'",
        name=quoted("n.nspname"),
        catalog="pg_namespace",
        oid="n.oid",
        found=f"pg_catalog.pg_namespace n where {mine('pg_namespace', 'n.oid')}",
        owner="n.nspowner",
        acl="n.nspacl",
        default_acl="'n'",
    )


def relations(versions: Versions) -> Kind:
    """Return the kind of tables, partitioned or not, foreign tables, views and materialized views."""
    of_row_type = {
        f"{name} of row type": expression for name, expression in about("pg_type", "y.oid").items()
    }
    return Kind(
        kind=KIND_OF_RELATION,
        name=qualified("c.relname"),
        of=OF_SCHEMA,
        catalog="pg_class",
        oid="c.oid",
        found=RELATION.format(
            more="""left join pg_catalog.pg_foreign_table f on f.ftrelid = c.oid
                    left join pg_catalog.pg_type y on y.oid = c.reltype"""
        ),
        properties={
            "persistence": "case c.relpersistence when 'u' then 'unlogged' end",
            "not populated": flag("not c.relispopulated and c.relkind = 'm'"),
            "partition of": f"case when c.relispartition then ({PARENTS}) end",
            "bound": "pg_catalog.pg_get_expr(c.relpartbound, c.oid)",
            "partition key": "case c.relkind when 'p' then pg_catalog.pg_get_partkeydef(c.oid) end",
            "inherits": f"case when not c.relispartition then {listed(PARENTS)} end",
            "of type": type_name("c.reloftype"),
            "access method":
                "(select m.amname from pg_catalog.pg_am m where m.oid = c.relam and m.amname <> 'heap')",
            "options": in_order("select o from unnest(c.reloptions) o"),
            "toast options": in_order(TOAST_OPTIONS),
            "row security": flag("c.relrowsecurity"),
            "forced row security": flag("c.relforcerowsecurity"),
            "replica identity": f"""case c.relreplident
                when 'f' then 'full' when 'n' then 'nothing' when 'i' then 'index ' || {IDENTITY_INDEX}
            end""",
            "server": f"""(
                select {quoted("s.srvname")} from pg_catalog.pg_foreign_server s where s.oid = f.ftserver
            )""",
            "foreign options": in_order("select o from unnest(f.ftoptions) o"),
            "column order": f"case when c.relkind not in ('v', 'm') then {listed(COLUMN_ORDER)} end",
            "columns": f"case when c.relkind in ('v', 'm') then {listed(COLUMNS_OF_VIEW)} end",
            "definition": "case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid) end",
            "depends on extensions": f"case c.relkind when 'm' then {depends_on('pg_class', 'c.oid')} end",
            # Nearly all are as they were made, which need not be told.
            "privileges of row type": f"""case when y.typacl is not null then nullif(
                {privileges("y.typowner", "y.typacl", "'T'", versions)},
                {privileges("y.typowner", "null::aclitem[]", "'T'", versions)}
            ) end""",
            **of_row_type,
        },
        owner="c.relowner",
        acl="c.relacl",
        default_acl="'r'",
    )  # fmt: skip


def columns(versions: Versions) -> Kind:
    """Return the kind; what views' columns are is told with the views, what was set for them with these."""
    generated = "a.attgenerated" if versions.this(Feature.GENERATED_COLUMNS) else "''"
    not_valid = NOT_VALID_NOT_NULL if versions.this(Feature.NAMED_NOT_NULL) else "false"
    identity = "true" if versions.both(Feature.IDENTITY_OF_PARTITIONS) else "not c.relispartition"
    compression = "a.attcompression" if versions.this(Feature.TOAST_COMPRESSION) else "''"
    return Kind(
        kind="'column'",
        name=f"{qualified('c.relname')} || '.' || {quoted('a.attname')}",
        of=OF_RELATION,
        catalog="pg_class",
        oid="c.oid",
        part="a.attnum",
        found=RELATION.format(
            more="""join pg_catalog.pg_attribute a
                      on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                    join pg_catalog.pg_type t on t.oid = a.atttypid
                    left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"""
        ),
        properties={
            "type": unless_view(type_name("a.atttypid", "a.atttypmod")),
            "collation": unless_view(collation("a.attcollation", "t.typcollation")),
            "not null": flag("a.attnotnull"),
            "not null not valid": flag(not_valid),
            "default": unless_view(
                f"case {generated} when '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end"
            ),
            "identity": f"""case when {identity} then
                case a.attidentity when 'a' then 'always' when 'd' then 'by default' end
            end""",
            "generated": f"""case {generated}
                when 's' then 'stored ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
                when 'v' then 'virtual ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid)
            end""",
            "storage": """case when a.attstorage <> t.typstorage then case a.attstorage
                when 'p' then 'plain' when 'm' then 'main' when 'e' then 'external' else 'extended'
            end end""",
            "compression": f"case {compression} when 'p' then 'pglz' when 'l' then 'lz4' end",
            "statistics": "nullif(a.attstattarget, -1)",
            "options": in_order("select o from unnest(a.attoptions) o"),
            "foreign options": in_order("select o from unnest(a.attfdwoptions) o"),
            "inherited": flag("not a.attislocal and not c.relispartition"),
        },
        owner="c.relowner",
        acl="a.attacl",
    )  # fmt: skip


def sequences(versions: Versions) -> Kind:
    """Return the kind; where a sequence stands is no part of its definition."""
    persistence = (
        "case c.relpersistence when 'u' then 'unlogged' end"
        if versions.both(Feature.UNLOGGED_SEQUENCES)
        else "null"
    )
    return Kind(
        kind="'sequence'",
        name=qualified("c.relname"),
        of=f"coalesce('column ' || o.table || '.' || o.column, {OF_SCHEMA})",
        catalog="pg_class",
        oid="c.oid",
        found=f"""pg_catalog.pg_sequence s
            join pg_catalog.pg_class c on c.oid = s.seqrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            {OWNED_BY}
            where c.relpersistence <> 't' and {mine("pg_class", "c.oid")}""",
        properties={
            "type": type_name("s.seqtypid"),
            "start": "s.seqstart",
            "increment": "s.seqincrement",
            "minimum": "s.seqmin",
            "maximum": "s.seqmax",
            "cache": "s.seqcache",
            "cycle": flag("s.seqcycle"),
            "owned by": "o.table || '.' || o.column",
            "persistence": persistence,
        },
        owner="c.relowner",
        acl="c.relacl",
        default_acl="'s'",
    )
