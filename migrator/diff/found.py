"""Which objects of a database are the user's, as SQL: what every look at a schema asks for."""

from __future__ import annotations

from migrator.pg.catalog import USER_SCHEMA

NOT_OF_EXTENSION = """
not exists (
    select
    from pg_catalog.pg_depend e
    where e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass and e.objid = {oid} and e.deptype = 'e'
)
"""
# As with a range the functions that construct it, and from 14 on a cast.
NOT_MADE_ALONG = NOT_OF_EXTENSION.replace("'e'", "'i'")


def mine(catalog: str, oid: str) -> str:
    """Return the condition that an object in schema ``n`` is the user's own, and of no extension."""
    return f"{USER_SCHEMA} and {NOT_OF_EXTENSION.format(catalog=catalog, oid=oid)}"


# v views, m materialized ones, f foreign tables.
RELATION = f"""
pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
{{more}}
where c.relkind in ('r', 'p', 'v', 'm', 'f') and c.relpersistence <> 't' and {mine("pg_class", "c.oid")}
"""
# What a partition has because its root has it is told with the root.
OF_ROOT = "coalesce(to_jsonb({row}) ->> '{column}', '0') <> '0'"
# The fence of any migration.
FENCE = """
exists (
    select
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace o on o.oid = p.pronamespace
    where p.oid = g.tgfoid and o.nspname ~ '^migrator_' and p.proname = 'refuse_write'
)
"""
