"""Which objects of a database are the user's, as SQL: what every look at a schema asks for."""

from __future__ import annotations

from migrator.pg.catalog import USER_SCHEMA, not_of_extension


def mine(catalog: str, oid: str) -> str:
    """Return the condition that an object in schema ``n`` is the user's own, and of no extension."""
    return f"{USER_SCHEMA} and {not_of_extension(catalog, oid)}"


def not_made_along(catalog: str, oid: str) -> str:
    """Return the condition that an object was not made with another, as what constructs a range is."""
    return not_of_extension(catalog, oid).replace("'e'", "'i'")


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
