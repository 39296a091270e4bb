"""Our roles may do what the migration does.

Why it matters: a missing right shows up in the middle of the night, half way through.
The stream's worker logs in as our role of the destination and obeys ``alter role … set role``.
How to fix: use a superuser on both sides; this version needs one. It is not to become another role. What the
role lacks besides is told, for whoever cannot have a superuser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER

# What a role that is no superuser would need to replicate, to subscribe, to read everything and to alter it.
LACKS = """
with r as (
    select * from pg_catalog.pg_roles where rolname = current_user
),
relations as (
    select c.oid, c.relkind, c.relowner, c.relrowsecurity and not c.relforcerowsecurity as policed,
           c.relrowsecurity and c.relforcerowsecurity as forced,
           pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name,
           n.oid as schema
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'S')
      and c.relpersistence <> 't'
      and {user_schema}
),
lacking as (
    select 1 as number, 'replication' as what, null as name
    from r
    where not rolreplication
    union all
    select 2, 'membership in pg_create_subscription', null
    from pg_catalog.pg_roles p
    where p.rolname = 'pg_create_subscription'
      and not pg_catalog.pg_has_role(p.oid, 'member')
    union all
    select 3, 'create on the database', null
    where not pg_catalog.has_database_privilege(current_database(), 'create')
    union all
    select 4, 'usage on schemas', pg_catalog.quote_ident(n.nspname)
    from pg_catalog.pg_namespace n
    where {user_schema}
      and not pg_catalog.has_schema_privilege(n.oid, 'usage')
    union all
    select 5, 'select on tables', name
    from relations
    where relkind <> 'S'
      and not pg_catalog.has_table_privilege(oid, 'select')
    union all
    select 6, 'select on sequences', name
    from relations
    -- The function refuses other kinds, and is not to be asked of them whatever the plan.
    where case when relkind = 'S' then not pg_catalog.has_sequence_privilege(oid, 'select') end
    union all
    select 7, 'the ownership of tables', name
    from relations
    where relkind <> 'S'
      and not pg_catalog.pg_has_role(relowner, 'usage')
    union all
    select 8, 'bypassrls, for tables with policies', name
    from relations, r
    where not r.rolbypassrls
      and (forced or policed and not pg_catalog.pg_has_role(relowner, 'usage'))
)
select what, count(name) as count, min(name) as example
from lacking
group by number, what
order by number
""".replace("{user_schema}", USER_SCHEMA)
BECOMES = """
select distinct split_part(c.setting, '=', 2) as other
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where c.setting ~ '^role='
  and c.setting <> 'role=none'
  and s.setrole in (0, (select oid from pg_catalog.pg_roles where rolname = session_user))
  and s.setdatabase in (
      0, (select oid from pg_catalog.pg_database where datname = current_database())
  )
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the roles' attributes, and at what they may do without being superusers."""
    for session, server in ((ctx.source, ctx.source_server), (ctx.destination, ctx.destination_server)):
        if not server.superuser:
            lacks = [
                row.what + (f" ({row.count}, {row.example} for one)" if row.count else "")
                for row in session.rows(LACKS)
            ]
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"role {server.role} is not a superuser"
                + (f"; besides, it lacks {', '.join(lacks)}" if lacks else ""),
                f"alter role {_quoted(server.role)} superuser; -- for the time of the migration",
                server.side,
            )
    role = ctx.destination_server.role
    for row in ctx.destination.rows(BECOMES):
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"role {role} becomes {row.other} when it logs in, and so would the stream's worker",
            f"alter role {_quoted(role)} reset role; -- for the time of the migration",
            "destination",
        )


def _quoted(name: str) -> str:
    return sql.Identifier(name).as_string()
