"""What belongs to the database as a whole: itself, its settings, extensions, default privileges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.objects.kind import Kind, flag, in_order, privileges, quoted, role
from migrator.pg.builtin_grants import CATALOGS
from migrator.pg.catalog import NOT_OF_EXTENSION, not_of_extension
from migrator.pg.database import READ_ONLY

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

# A database of another name is compared all the same.
ITSELF = "'itself'"
IN_SCHEMA = """
(select ' in schema ' || {name} from pg_catalog.pg_namespace n where n.oid = d.defaclnamespace)
"""
CHANGED = """
select 'pg_catalog.{catalog}'::pg_catalog.regclass as class, o.oid as object, 0 as part, o.{owner} as owner,
       o.{acl} as acl, ({kind})::"char" as letter
from pg_catalog.{catalog} o
left join pg_catalog.pg_init_privs i
       on i.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass and i.objoid = o.oid and i.objsubid = 0
where o.{acl} is distinct from i.initprivs
  and o.oid <> coalesce(pg_catalog.to_regnamespace('public'), 0)
  and (o.oid < 16384 or not {of_no_extension})
"""
CHANGED_COLUMNS = f"""
select 'pg_catalog.pg_class'::pg_catalog.regclass, c.oid, a.attnum, c.relowner, a.attacl, 'c'::"char"
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
left join pg_catalog.pg_init_privs i
       on i.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
      and i.objoid = a.attrelid
      and i.objsubid = a.attnum
where a.attacl is distinct from i.initprivs
  and not a.attisdropped
  and (c.oid < 16384 or not {NOT_OF_EXTENSION})
"""
# What initdb grants on these is not recorded, and each version has others of them.
AS_MADE = {
    "pg_class": """
  and not (o.relnamespace = pg_catalog.to_regnamespace('information_schema')
           and o.relacl = pg_catalog.acldefault('r', o.relowner)
                          || pg_catalog.makeaclitem(0, o.relowner, 'SELECT', false))
"""
}


def databases(_versions: Versions) -> Kind:
    """Return the kind, of which there is one; encoding and locale are chosen when it is created."""
    return Kind(
        kind="'database'",
        name=ITSELF,
        catalog="pg_database",
        oid="d.oid",
        found="pg_catalog.pg_database d where d.datname = current_database()",
        properties={
            "connection limit": "nullif(d.datconnlimit, -1)",
            "template": flag("d.datistemplate"),
            "no connections": flag("not d.datallowconn"),
        },
        owner="d.datdba",
        acl="d.datacl",
        default_acl="'d'",
    )


def settings(_versions: Versions) -> Kind:
    """Return the kind, of the database and of roles in it; its read-only default is the fence's."""
    return Kind(
        kind="'setting'",
        name=f"{quoted('s.name')} || coalesce(' of role ' || {quoted('s.role')}, '')",
        catalog="",
        oid="",
        found=f"""(
            select split_part(c.setting, '=', 1) as name,
                   substr(c.setting, strpos(c.setting, '=') + 1) as value,
                   r.rolname as role
            from pg_catalog.pg_db_role_setting s
            cross join lateral unnest(s.setconfig) as c (setting)
            left join pg_catalog.pg_roles r on r.oid = s.setrole
            where s.setdatabase = (
                select oid from pg_catalog.pg_database where datname = current_database()
            )
        ) s
        where s.name <> '{READ_ONLY}' or s.role is not null""",
        properties={"value": "s.value"},
    )


def extensions(_versions: Versions) -> Kind:
    """Return the kind; their versions are told apart."""
    return Kind(
        kind="'extension'",
        name=quoted("x.extname"),
        catalog="pg_extension",
        oid="x.oid",
        found="""pg_catalog.pg_extension x
            join pg_catalog.pg_namespace n on n.oid = x.extnamespace""",
        properties={"schema": quoted("n.nspname")},
        owner="x.extowner",
    )


def extension_versions(_versions: Versions) -> Kind:
    """Return the kind; a version is told with the one that would be created now.

    For that the server reads the control files of all extensions, and refuses where one of them is broken:
    the extensions' other properties are compared all the same.
    """
    return Kind(
        kind="'extension'",
        name=quoted("x.extname"),
        of=f"'extension ' || {quoted('x.extname')}",
        catalog="",
        oid="x.oid",
        found="""pg_catalog.pg_extension x
            left join pg_catalog.pg_available_extensions v on v.name = x.extname""",
        properties={
            "version": """x.extversion || case
                when v.default_version = x.extversion then ' (default)'
                else coalesce(' (default is ' || v.default_version || ')', '')
            end""",
        },
    )


def event_triggers(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'event trigger'",
        name=quoted("t.evtname"),
        catalog="pg_event_trigger",
        oid="t.oid",
        found=f"pg_catalog.pg_event_trigger t where {not_of_extension('pg_event_trigger', 't.oid')}",
        properties={
            "event": "t.evtevent",
            "tags": in_order("select tag from unnest(t.evttags) tag"),
            "function": "t.evtfoid::pg_catalog.regprocedure::text",
            "state": """case t.evtenabled
                when 'D' then 'disabled' when 'R' then 'replica' when 'A' then 'always'
            end""",
        },
        owner="t.evtowner",
    )


def default_privileges(versions: Versions) -> Kind:
    """Return the kind; where nothing is said, what goes without saying holds."""
    return Kind(
        kind="'default privileges'",
        name=f"""'for ' || {role("d.defaclrole")}
            || coalesce({IN_SCHEMA.format(name=quoted("n.nspname"))}, '')
            || ' on ' || case d.defaclobjtype
                when 'r' then 'tables' when 'S' then 'sequences' when 'f' then 'functions'
                when 'T' then 'types' when 'n' then 'schemas' else 'large objects'
            end""",
        catalog="",
        oid="d.oid",
        found="pg_catalog.pg_default_acl d",
        properties={"granted": privileges("d.defaclrole", "d.defaclacl", "", versions)},
    )


def built_in_privileges(versions: Versions) -> Kind:
    """Return the kind: what was granted and revoked on objects of PostgreSQL's own, and of extensions."""
    changed = [
        CHANGED.format(
            catalog=catalog,
            owner=owner,
            acl=acl,
            kind=letter,
            of_no_extension=not_of_extension(catalog, "o.oid"),
        )
        + AS_MADE.get(catalog, "")
        for catalog, owner, acl, letter in CATALOGS
    ]
    return Kind(
        kind="'privileges on'",
        name="i.type || ' ' || i.identity",
        catalog="",
        oid="o.object",
        found=f"""({" union all ".join((*changed, CHANGED_COLUMNS))}) o
            cross join lateral pg_catalog.pg_identify_object(o.class, o.object, o.part) i""",
        properties={"privileges": privileges("o.owner", "o.acl", "o.letter", versions)},
    )
