"""Nothing of the source's schema needs what the destination's version has no more.

Why it matters: a type, a column of a system view, a built-in function, a setting or a kind of operator that
was removed stops the restore of the schema; the hidden column oid of tables WITH OIDS is left behind.
How to fix: what is named, on the source: drop it, or write it in another way.
When to ignore: a table WITH OIDS whose oids nobody reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, not_of_extension
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

# Each gives what is used, as the destination is asked for it, and what uses it.
TYPES = f"""
select distinct u.type::pg_catalog.regtype::text as used, u.what || ' ' || u.name as user
from (
    select a.atttypid as type, 'table' as what, c.oid::pg_catalog.regclass::text as name
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_class c on c.oid = a.attrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where a.attnum > 0
      and not a.attisdropped
      and c.relkind in ('r', 'p', 'v', 'm', 'f', 'c')
      and c.relpersistence <> 't'
      and {USER_SCHEMA}
      and {NOT_OF_EXTENSION}
    union all
    select t.typbasetype, 'domain', t.oid::pg_catalog.regtype::text
    from pg_catalog.pg_type t
    join pg_catalog.pg_namespace n on n.oid = t.typnamespace
    where t.typtype = 'd'
      and {USER_SCHEMA}
    union all
    select a.type, 'function', p.oid::pg_catalog.regprocedure::text
    from pg_catalog.pg_proc p
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    cross join lateral unnest(p.prorettype || p.proargtypes::oid[]) as a (type)
    where {USER_SCHEMA}
      and {not_of_extension("pg_proc", "p.oid")}
) u
join pg_catalog.pg_type t on t.oid = u.type
where t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
order by 1, 2
"""
COLUMNS = f"""
select distinct sn.nspname || '.' || s.relname || '.' || a.attname as used,
       'view ' || c.oid::pg_catalog.regclass::text as user
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_depend d
  on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
 and d.objid = r.oid
 and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
join pg_catalog.pg_class s on s.oid = d.refobjid
join pg_catalog.pg_namespace sn on sn.oid = s.relnamespace
join pg_catalog.pg_attribute a on a.attrelid = s.oid and a.attnum = d.refobjsubid
where sn.nspname in ('pg_catalog', 'information_schema')
  and s.oid < 16384
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 1, 2
"""
FUNCTIONS = f"""
select distinct p.oid::pg_catalog.regprocedure::text as used, u.name as user
from (
    select unnest(array[g.aggtransfn, g.aggfinalfn, g.aggcombinefn, g.aggmtransfn, g.aggminvtransfn,
                        g.aggmfinalfn])::oid as function,
           'aggregate ' || p.oid::pg_catalog.regprocedure::text as name
    from pg_catalog.pg_aggregate g
    join pg_catalog.pg_proc p on p.oid = g.aggfnoid
    join pg_catalog.pg_namespace n on n.oid = p.pronamespace
    where {USER_SCHEMA}
      and {not_of_extension("pg_proc", "p.oid")}
    union all
    select o.oprcode::oid, 'operator ' || o.oid::pg_catalog.regoperator::text
    from pg_catalog.pg_operator o
    join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
    where {USER_SCHEMA}
      and {not_of_extension("pg_operator", "o.oid")}
) u
join pg_catalog.pg_proc p on p.oid = u.function
where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
order by 1, 2
"""
SETTINGS = f"""
select distinct split_part(s.setting, '=', 1) as used,
       'function ' || p.oid::pg_catalog.regprocedure::text as user
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
cross join lateral unnest(p.proconfig) as s (setting)
where split_part(s.setting, '=', 1) !~ '[.]'
  and {USER_SCHEMA}
  and {not_of_extension("pg_proc", "p.oid")}
order by 1, 2
"""
LACKING_TYPES = """
select u.name from unnest(%s::text[]) as u (name) where pg_catalog.to_regtype(u.name) is null
"""
LACKING_FUNCTIONS = """
select u.name from unnest(%s::text[]) as u (name) where pg_catalog.to_regprocedure(u.name) is null
"""
LACKING_COLUMNS = """
select u.name
from unnest(%s::text[]) as u (name)
where not exists (
    select
    from pg_catalog.pg_attribute a
    where a.attrelid = pg_catalog.to_regclass(split_part(u.name, '.', 1) || '.' || split_part(u.name, '.', 2))
      and a.attname = split_part(u.name, '.', 3)
)
"""
LACKING_SETTINGS = """
select u.name from unnest(%s::text[]) as u (name) where pg_catalog.current_setting(u.name, true) is null
"""
KINDS = (
    ("type", TYPES, LACKING_TYPES),
    ("column", COLUMNS, LACKING_COLUMNS),
    ("function", FUNCTIONS, LACKING_FUNCTIONS),
    ("setting", SETTINGS, LACKING_SETTINGS),
)
POSTFIX = f"""
select o.oid::pg_catalog.regoperator::text as name
from pg_catalog.pg_operator o
join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
where o.oprkind = 'r'
  and {USER_SCHEMA}
  and {not_of_extension("pg_operator", "o.oid")}
order by 1
"""
WITH_OIDS = f"""
select c.oid::pg_catalog.regclass::text as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relhasoids
  and c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Ask the destination for all that is used, by name."""
    for kind, used, lacking in KINDS:
        rows = ctx.source.rows(used)
        names = sorted({row.used for row in rows})
        gone = {row.name for row in ctx.destination.rows(lacking, [names])} if names else set()
        lacked: dict[str, list[str]] = {}
        for row in rows:
            if row.used in gone:
                lacked.setdefault(row.user, []).append(row.used)
        for user, what in lacked.items():
            yield Finding(
                Severity.BLOCK,
                user,
                f"{user} uses {kind} {', '.join(what)}: gone from the destination's version",
                f"drop {user}, or write it without {', '.join(what)}",
            )
    if ctx.destination_server.has(Feature.NO_POSTFIX_OPERATORS):
        for row in ctx.source.rows(POSTFIX):
            yield Finding(
                Severity.BLOCK,
                f"operator {row.name}",
                f"operator {row.name} stands behind its operand, which no version since 14 knows",
                f"drop operator {row.name};",
                "source",
            )
    if ctx.destination_server.has(Feature.NO_OIDS) and not ctx.source_server.has(Feature.NO_OIDS):
        for row in ctx.source.rows(WITH_OIDS):
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"table {row.name} is WITH OIDS, which no version since 12 knows: its oids are left behind",
                f"alter table {row.name} set without oids; -- or keep them: add a column, fill it with oid",
                "source",
            )
