"""Grants on what every database begins with: functions, catalogs, languages and types of PostgreSQL's own.

``pg_dump`` writes those that differ from what initdb gave, so restoring a dump changes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from psycopg import sql

from migrator.pg.database import Grant, regrant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.pg.session import ReadSession

# Catalog, its columns for owner and grants, the kind of its default grants (acldefault's letter).
CATALOGS = (
    ("pg_proc", "proowner", "proacl", "'f'"),
    ("pg_class", "relowner", "relacl", "case o.relkind when 'S' then 's' else 'r' end"),
    ("pg_language", "lanowner", "lanacl", "'l'"),
    ("pg_type", "typowner", "typacl", "'T'"),
    ("pg_namespace", "nspowner", "nspacl", "'n'"),
    ("pg_foreign_data_wrapper", "fdwowner", "fdwacl", "'F'"),
    ("pg_foreign_server", "srvowner", "srvacl", "'S'"),
)
# Objects below 16384 were made by initdb; schema public is looked after by itself.
CHANGED = """
select 'pg_catalog.{catalog}'::pg_catalog.regclass::oid as class,
       o.oid as object,
       o.{owner} as owner,
       coalesce(o.{acl}, pg_catalog.acldefault(({kind})::"char", o.{owner})) as now,
       coalesce(i.initprivs, pg_catalog.acldefault(({kind})::"char", o.{owner})) as initial
from pg_catalog.{catalog} o
left join pg_catalog.pg_init_privs i
       on i.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass and i.objoid = o.oid and i.objsubid = 0
where o.oid < 16384
  and o.oid <> coalesce(pg_catalog.to_regnamespace('public'), 0)
  and o.{acl} is distinct from i.initprivs
"""
READ = """
select case i.type
           when 'view' then 'table'
           when 'aggregate' then 'function'
           when 'foreign-data wrapper' then 'foreign data wrapper'
           when 'server' then 'foreign server'
           else i.type
       end as kind,
       i.identity,
       pg_catalog.pg_get_userbyid(c.owner)::text as owner,
       {now} as now,
       {initial} as initial
from ({changed}) c
cross join lateral pg_catalog.pg_identify_object(c.class, c.object, 0) i
"""
GRANTS = """
(select coalesce(jsonb_agg(jsonb_build_array(
            case when a.grantee = 0 then '' else pg_catalog.pg_get_userbyid(a.grantee)::text end,
            a.privilege_type,
            a.is_grantable,
            pg_catalog.pg_get_userbyid(a.grantor)::text
        ) order by a.grantee, a.privilege_type, a.grantor), '[]')
 from pg_catalog.aclexplode(c.{which}) a)
"""


class Builtin(msgspec.Struct, frozen=True):
    """The grants on one object of PostgreSQL's own, as they stand and as initdb made them."""

    kind: str
    identity: str
    owner: str
    now: tuple[Grant, ...]
    initial: tuple[Grant, ...]


def changed_grants(session: ReadSession) -> tuple[Builtin, ...]:
    """Return the objects whose grants are not those that initdb gave; JSON-ready."""
    query = READ.format(
        now=GRANTS.format(which="now"),
        initial=GRANTS.format(which="initial"),
        changed=" union all ".join(
            CHANGED.format(catalog=catalog, owner=owner, acl=acl, kind=kind)
            for catalog, owner, acl, kind in CATALOGS
        ),
    )
    return tuple(msgspec.convert(row._asdict(), Builtin) for row in session.rows(query))


def give_back(now: tuple[Builtin, ...], before: tuple[Builtin, ...]) -> Iterator[sql.Composed]:
    """Yield the statements that turn the grants back to what they were."""
    had = {(b.kind, b.identity): b.now for b in before}
    for b in now:
        thing = sql.SQL(f"{b.kind} {b.identity}")
        yield from regrant(thing, b.now, had.get((b.kind, b.identity), b.initial), b.owner)
