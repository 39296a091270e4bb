"""What is on a destination: which objects there are, which of them we made, and how to take ours away.

What a step made is written to our registry in the transaction that made it, by catalog row
(``classid``, ``objid`` as in ``pg_depend``), so that undo drops exactly that, whatever it is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.errors import Conflict
from migrator.pg.catalog import USER_SCHEMA

if TYPE_CHECKING:
    from migrator.pg.registry import Registry, WritableRegistry

# Catalog, the column of its schema (or none), and which of its rows count. Whatever belongs to a
# table (its constraints, triggers, indexes …) is listed apart: it comes and goes with the table.
STANDING: tuple[tuple[str, str, str], ...] = (
    ("pg_namespace", "o.oid", "true"),
    ("pg_extension", "", "o.extname <> 'plpgsql'"),
    ("pg_class", "o.relnamespace", "o.relkind in ('r', 'p', 'f', 'v', 'm', 'S')"),
    ("pg_proc", "o.pronamespace", "true"),
    (
        "pg_type",
        "o.typnamespace",
        """o.typtype <> 'm'
           and not exists (select from pg_catalog.pg_type e where e.typarray = o.oid)
           and not exists (
               select from pg_catalog.pg_class r where r.oid = o.typrelid and r.relkind <> 'c'
           )""",
    ),
    ("pg_operator", "o.oprnamespace", "true"),
    ("pg_opclass", "o.opcnamespace", "true"),
    ("pg_opfamily", "o.opfnamespace", "true"),
    ("pg_collation", "o.collnamespace", "true"),
    ("pg_conversion", "o.connamespace", "true"),
    ("pg_ts_config", "o.cfgnamespace", "true"),
    ("pg_ts_dict", "o.dictnamespace", "true"),
    ("pg_ts_parser", "o.prsnamespace", "true"),
    ("pg_ts_template", "o.tmplnamespace", "true"),
    ("pg_foreign_data_wrapper", "", "true"),
    ("pg_foreign_server", "", "true"),
    ("pg_language", "", "o.lanname <> 'plpgsql'"),
    ("pg_am", "", "true"),
    ("pg_cast", "", "true"),
    ("pg_transform", "", "true"),
    ("pg_event_trigger", "", "true"),
    ("pg_default_acl", "", "true"),
)

# What comes with a relation, and the indexed column that names the relation. Zero stands for those of
# no relation: the constraints of domains.
ATTACHED: tuple[tuple[str, str, str, str], ...] = (
    ("pg_class", "o.relnamespace", "o.relkind in ('i', 'I', 'v', 'm')", "o.oid"),
    ("pg_constraint", "o.connamespace", "o.contype in ('p', 'u', 'x', 'f', 'c')", "o.conrelid"),
    (
        "pg_trigger",
        "",
        "not o.tgisinternal and coalesce(to_jsonb(o) ->> 'tgparentid', '0') = '0'",
        "o.tgrelid",
    ),
    ("pg_rewrite", "", "o.rulename <> '_RETURN'", "o.ev_class"),
    ("pg_policy", "", "true", "o.polrelid"),
    ("pg_statistic_ext", "o.stxnamespace", "true", "o.stxrelid"),
    ("pg_proc", "o.pronamespace", "true", ""),
    ("pg_event_trigger", "", "true", ""),
    ("pg_default_acl", "", "true", ""),
)

# Objects below this one were made by initdb (documentation 73.2, access/transam.h).
FIRST_NORMAL_OBJECT = 16384


def _objects(catalogs: tuple[tuple[str, ...], ...], condition: str) -> str:
    parts = []
    for catalog, schema, rows, *relation in catalogs:
        touched = f"{relation[0]} = any ((select relations from touched)::oid[])" if any(relation) else "true"
        in_user_schema = (
            f"""and not exists (
                    select
                    from pg_catalog.pg_namespace n
                    where n.oid = {schema}
                      and not ({USER_SCHEMA})
                )"""
            if schema
            else ""
        )
        parts.append(
            f"""select 'pg_catalog.{catalog}'::pg_catalog.regclass::oid as class_oid, o.oid as object_oid
                from pg_catalog.{catalog} o
                where o.oid >= {FIRST_NORMAL_OBJECT}
                  and {rows}
                  and {touched}
                  and {condition}
                  {in_user_schema}
                  and not exists (
                      select
                      from pg_catalog.pg_depend e
                      where e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass
                        and e.objid = o.oid
                        and e.deptype = 'e'
                  )"""
        )
    return "\nunion all\n".join(parts)


USER_OBJECTS = _objects(STANDING, "true")

# Rows of this transaction; xmin holds the low 32 bits of its number.
THIS_TRANSACTION = "o.xmin = (pg_catalog.txid_current() & 4294967295)::text::xid"

# Relations that this transaction has to do with: it keeps a lock on each until its end. Without them
# every catalog would be read through for every index that is built.
TOUCHED = """
with touched as (
    select 0::oid || array(
        select relation from pg_catalog.pg_locks
        where locktype = 'relation' and pid = pg_catalog.pg_backend_pid()
    ) as relations
)
"""

RECORD = """
insert into {{schema}}.made (class, object, step, key)
select class_oid, object_oid, %s, %s
from ({objects}) new
where not exists (
    select
    from unnest(%s::oid[], %s::oid[]) as before (class, object)
    where before.class = new.class_oid and before.object = new.object_oid
)
on conflict (class, object) do nothing
"""
RECORD_STANDING = RECORD.format(objects=_objects(STANDING, THIS_TRANSACTION))
RECORD_ATTACHED = TOUCHED + RECORD.format(objects=_objects(ATTACHED, THIS_TRANSACTION))

STRANGERS = (
    """
select i.type, i.identity
from ("""
    + USER_OBJECTS
    + """) o
cross join lateral pg_catalog.pg_identify_object(o.class_oid, o.object_oid, 0) i
where not exists (
    select from {schema}.made m where m.class = o.class_oid and m.object = o.object_oid
)
order by i.type, i.identity
limit 20
"""
)

# The statement that drops an object, containers before what is in them, parents before partitions.
DROPS = """
select case i.type
           when 'table constraint' then pg_catalog.format(
               'alter table if exists %%s drop constraint if exists %%I cascade',
               c.conrelid::pg_catalog.regclass, c.conname)
           when 'domain constraint' then pg_catalog.format(
               'alter domain %%s drop constraint if exists %%I',
               c.contypid::pg_catalog.regtype, c.conname)
           when 'transform' then pg_catalog.format(
               'drop transform if exists %%s cascade', replace(i.identity, ' on language ', ' language '))
           else pg_catalog.format(
               'drop %%s if exists %%s cascade',
               case i.type
                   when 'foreign-data wrapper' then 'foreign data wrapper'
                   when 'statistics object' then 'statistics'
                   else i.type
               end,
               i.identity)
       end as statement
from {schema}.made m
cross join lateral pg_catalog.pg_identify_object(m.class, m.object, 0) i
left join pg_catalog.pg_class r
       on m.class = 'pg_catalog.pg_class'::pg_catalog.regclass and r.oid = m.object
left join pg_catalog.pg_constraint c
       on m.class = 'pg_catalog.pg_constraint'::pg_catalog.regclass and c.oid = m.object
where m.step = %s
  and i.type <> 'default acl'
  and i.identity is not null
order by i.type <> 'schema',
         i.type <> 'event trigger',
         coalesce(r.relkind not in ('r', 'p', 'f'), true),
         coalesce(r.relispartition, false),
         coalesce(c.conislocal, true) desc,
         m.object desc
"""

DEFAULT_ACLS = """
select pg_catalog.format(
           'alter default privileges for role %%s %%s %%s %%s on %%s %%s %%s',
           d.defaclrole::pg_catalog.regrole::text,
           case when d.defaclnamespace <> 0
                then 'in schema ' || d.defaclnamespace::pg_catalog.regnamespace::text
                else '' end,
           case when a.added then 'revoke' else 'grant' end,
           a.privilege_type,
           case d.defaclobjtype
                when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                when 'T' then 'types' when 'n' then 'schemas' when 'L' then 'large objects' end,
           case when a.added then 'from' else 'to' end,
           case when a.grantee = 0 then 'public' else a.grantee::pg_catalog.regrole::text end
       ) as statement
from {schema}.made m
join pg_catalog.pg_default_acl d on d.oid = m.object
cross join lateral (
    select x.grantee, x.privilege_type, true as added
    from pg_catalog.aclexplode(d.defaclacl) x
    where not exists (
        select
        from pg_catalog.aclexplode(
                 case when d.defaclnamespace = 0
                      then pg_catalog.acldefault(d.defaclobjtype, d.defaclrole) end) y
        where y.grantee = x.grantee and y.privilege_type = x.privilege_type
    )
    union all
    select y.grantee, y.privilege_type, false
    from pg_catalog.aclexplode(
             case when d.defaclnamespace = 0
                  then pg_catalog.acldefault(d.defaclobjtype, d.defaclrole) end) y
    where not exists (
        select
        from pg_catalog.aclexplode(d.defaclacl) x
        where y.grantee = x.grantee and y.privilege_type = x.privilege_type
    )
) a
where m.step = %s
  and m.class = 'pg_catalog.pg_default_acl'::pg_catalog.regclass
"""

FORGET = "delete from {schema}.made where step = %s"
FORGET_RESTORED = "delete from {schema}.restored where step = %s"


@dataclass(frozen=True)
class Before:
    """The objects that stood on the server before a step, by catalog and row."""

    classes: list[int]
    objects: list[int]


def user_objects(registry: Registry) -> list[tuple[str, str]]:
    """Return type and identity of up to 20 user objects that we did not make."""
    rows = registry.rows(STRANGERS) if registry.is_ours() else registry.session.rows(EVERYTHING)
    return [(row.type, row.identity) for row in rows]


EVERYTHING = (
    "select i.type, i.identity from ("
    + USER_OBJECTS
    + ") o cross join lateral pg_catalog.pg_identify_object(o.class_oid, o.object_oid, 0) i"
    " order by i.type, i.identity limit 20"
)


def standing(registry: Registry) -> Before:
    """Return what stands on the server now."""
    rows = registry.session.rows(USER_OBJECTS)
    return Before([row[0] for row in rows], [row[1] for row in rows])


def record_standing(registry: WritableRegistry, step: str, before: Before) -> None:
    """Record every schema-level object that this transaction made."""
    registry.run(RECORD_STANDING, [step, "", before.classes, before.objects])


def record_attached(registry: WritableRegistry, step: str, key: str) -> None:
    """Record every index, constraint, trigger … that this transaction made."""
    registry.run(RECORD_ATTACHED, [step, key, [], []], often=True)


def drop_made(registry: WritableRegistry, step: str) -> int:
    """Drop what ``step`` made and forget it, in one transaction; return how many statements ran."""
    with registry.session.transaction():
        statements = [
            row.statement
            for query in (DEFAULT_ACLS, DROPS)
            for row in registry.rows(query, [step])
            if row.statement
        ]
        for statement in statements:
            registry.session.run(statement)
        registry.run(FORGET, [step])
        registry.run(FORGET_RESTORED, [step])
    return len(statements)


def refuse_strangers(registry: Registry, doing: str) -> None:
    """Raise Conflict when the destination holds user objects that we did not make."""
    found = user_objects(registry)
    if found:
        names = ", ".join(f"{kind} {identity}" for kind, identity in found[:5])
        more = f" and {len(found) - 5} more" if len(found) > 5 else ""
        raise Conflict(
            f"{doing} is refused: the destination holds objects that migrator did not make: {names}{more}",
            hint="move or drop them, or name another, empty database as the destination",
        )
