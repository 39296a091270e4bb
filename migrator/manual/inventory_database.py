"""Read what the source's database is beside its tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.manual.inventory import (
    Database,
    Extension,
    OwnSetting,
    Schema,
    Setting,
    in_creation_order,
)
from migrator.pg.catalog import registries

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.pg.session import ReadSession

# The locale's columns came with 15 to 17, one of them under two names; before, all is libc's.
DATABASE = """
select d.datname::text as name,
       pg_catalog.pg_get_userbyid(d.datdba)::text as owner,
       pg_catalog.pg_encoding_to_char(d.encoding)::text as encoding,
       case to_jsonb(d) ->> 'datlocprovider'
           when 'c' then 'libc'
           when 'i' then 'icu'
           when 'b' then 'builtin'
       end as provider,
       d.datcollate::text as collate,
       d.datctype::text as ctype,
       coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale') as locale,
       to_jsonb(d) ->> 'daticurules' as rules,
       t.spcname::text as tablespace,
       d.datistemplate as is_template,
       d.datallowconn as allow_connections,
       d.datconnlimit as connection_limit,
       not exists (
           select
           from pg_catalog.aclexplode(coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
           where a.grantee = 0
             and a.privilege_type = 'CONNECT'
       ) as connect_revoked,
       pg_catalog.shobj_description(d.oid, 'pg_database') as comment
from pg_catalog.pg_database d
join pg_catalog.pg_tablespace t on t.oid = d.dattablespace
where d.datname = current_database()
"""

SETTINGS = """
select coalesce(r.rolname, '')::text as role,
       split_part(c.setting, '=', 1) as name,
       substr(c.setting, strpos(c.setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_database d on d.oid = s.setdatabase
left join pg_catalog.pg_roles r on r.oid = s.setrole
cross join lateral unnest(s.setconfig) as c (setting)
where d.datname = current_database()
order by 1, 2
"""

# A schema that an extension made is created with it.
SCHEMAS = """
select n.nspname::text as name,
       pg_catalog.pg_get_userbyid(n.nspowner)::text as owner
from pg_catalog.pg_namespace n
where left(n.nspname, 3) <> 'pg_'
  and n.nspname <> 'information_schema'
  and n.nspname <> all (%s::text[])
  and not exists (
      select
      from pg_catalog.pg_depend d
      where d.classid = 'pg_catalog.pg_namespace'::pg_catalog.regclass
        and d.objid = n.oid
        and d.deptype = 'e'
  )
order by n.nspname::text collate "C"
"""

# One that needs another depends on it.
EXTENSIONS = """
select e.extname::text as name,
       n.nspname::text as schema,
       e.extversion as version,
       array(
           select r.extname::text
           from pg_catalog.pg_depend d
           join pg_catalog.pg_extension r on r.oid = d.refobjid
           where d.classid = 'pg_catalog.pg_extension'::pg_catalog.regclass
             and d.refclassid = d.classid
             and d.objid = e.oid
       ) as needs
from pg_catalog.pg_extension e
join pg_catalog.pg_namespace n on n.oid = e.extnamespace
where e.extname <> 'plpgsql'
order by e.oid
"""


def read_database(session: ReadSession, new_name: str = "") -> Database:
    """Read the database that the session is in; ``new_name``, where given, is its name in the new cluster."""
    facts = session.rows(DATABASE)[0]._asdict()
    settings: list[Setting] = []
    own: list[OwnSetting] = []
    for row in session.rows(SETTINGS):
        setting = Setting(row.name, row.value)
        if row.role:
            own.append(OwnSetting(row.role, facts["name"], setting))
        else:
            settings.append(setting)
    schemas = [Schema(*row) for row in session.rows(SCHEMAS, [registries(session)])]
    return Database(
        **facts,
        new_name=new_name or facts["name"],
        schemas=tuple(schemas),
        extensions=tuple(_extensions(session)),
        settings=tuple(settings),
        own_settings=tuple(own),
    )


def _extensions(session: ReadSession) -> Iterator[Extension]:
    rows = {row.name: row for row in session.rows(EXTENSIONS)}
    for name in in_creation_order(rows, {name: row.needs for name, row in rows.items()}):
        yield Extension(name, rows[name].schema, rows[name].version)
