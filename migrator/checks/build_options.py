"""The destination is built with what the source's columns need.

Why it matters: xml needs a server that is built with libxml, compression by lz4 one that is built with lz4.
Without, the destination refuses every row, or the table itself.
How to fix: a destination that is built with it; or pglz, which every server has; or text instead of xml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.errors import StatementFailed
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA
from migrator.pg.column_types import OF_COLUMNS, PARTS
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB
NOT_SUPPORTED = "0A000"

XML_COLUMNS = f"""
with recursive {PARTS.format(roots=OF_COLUMNS)},
xml (type) as (select root from part where type = 'pg_catalog.xml'::pg_catalog.regtype)
select c.oid::pg_catalog.regclass::text as relation,
       string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum) as columns
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.atttypid in (select type from xml)
  and a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
group by 1
order by 1
"""
TRY_XML = "select '<a/>'::xml"
LZ4_COLUMNS = f"""
select c.oid::pg_catalog.regclass::text as relation,
       c.relkind = 'm' as is_view,
       string_agg(pg_catalog.quote_ident(a.attname), ', ' order by a.attnum) as columns,
       string_agg(
           pg_catalog.format('alter column %I set compression pglz', a.attname), ', ' order by a.attnum
       ) as changes
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.attcompression = 'l'
  and a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'p', 'm')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
group by 1, 2
order by 1
"""
LZ4_SETTING = """
select coalesce(pg_catalog.quote_ident(r.rolname), '') as role,
       pg_catalog.quote_ident(d.datname) as database
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
where d.datname = current_database()
  and 'default_toast_compression=lz4' = any (s.setconfig)
"""
HAS_LZ4 = """
select exists (
    select
    from pg_catalog.pg_settings
    where name = 'default_toast_compression' and 'lz4' = any (enumvals)
)
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for such columns, and ask the destination where there are any."""
    xml = ctx.source.rows(XML_COLUMNS)
    if xml and not _has_xml(ctx):
        for row in xml:
            yield Finding(
                Severity.BLOCK,
                row.relation,
                f"{row.relation} has columns of type xml ({row.columns}), and the destination is built "
                "without libxml",
                "a destination that is built with libxml, or columns of type text",
            )
    if not ctx.source_server.has(Feature.TOAST_COMPRESSION) or ctx.destination.value(HAS_LZ4):
        return
    for row in ctx.source.rows(LZ4_COLUMNS):
        what = "materialized view" if row.is_view else "table"
        yield Finding(
            Severity.BLOCK,
            row.relation,
            f"{row.relation} has columns compressed by lz4 ({row.columns}), and the destination is built "
            "without it",
            f"alter {what} {row.relation} {row.changes};",
            "source",
        )
    for row in ctx.source.rows(LZ4_SETTING):
        whose = f"role {row.role} in database {row.database}" if row.role else f"database {row.database}"
        yield Finding(
            Severity.BLOCK,
            "default_toast_compression",
            "a setting of the database chooses lz4, and the destination is built without it",
            f"alter {whose} reset default_toast_compression;",
            "source",
        )


def _has_xml(ctx: ReadContext) -> bool:
    try:
        ctx.destination.value(TRY_XML)
    except StatementFailed as error:
        if error.sqlstate == NOT_SUPPORTED:
            return False
        raise
    return True
