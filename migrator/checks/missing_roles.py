"""Every role that the source's objects name exists on the destination.

Why it matters: owners and grants are copied; a role that is missing stops the restore. Roles belong
to a cluster, not to a database, so they are not part of a dump.
How to fix: run the SQL given; passwords are not copied, set them yourself (or use pg_dumpall --roles-only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER

# Owners, grantees, policies (pg_shdepend), default privileges, and roles with settings in this database.
NAMED = """
with here as (
    select oid, datdba from pg_catalog.pg_database where datname = current_database()
)
select r.rolname as name, r.rolsuper as superuser, r.rolinherit as inherit, r.rolcreaterole as createrole,
       r.rolcreatedb as createdb, r.rolcanlogin as login, r.rolreplication as replication,
       r.rolbypassrls as bypassrls, pg_catalog.quote_ident(r.rolname) as quoted
from pg_catalog.pg_roles r
where r.oid in (
    select d.refobjid
    from pg_catalog.pg_shdepend d, here
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and (d.dbid = here.oid
           or (d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass and d.objid = here.oid))
    union
    select datdba from here
    union
    select s.setrole from pg_catalog.pg_db_role_setting s, here where s.setdatabase = here.oid
)
order by r.rolname
"""
KNOWN = "select rolname from pg_catalog.pg_roles"
ATTRIBUTES = ("superuser", "createrole", "createdb", "login", "replication", "bypassrls")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the roles by name."""
    known = {row.rolname for row in ctx.destination.rows(KNOWN)}
    for row in ctx.source.rows(NAMED):
        if row.name not in known:
            words = [word for word in ATTRIBUTES if getattr(row, word)]
            if not row.inherit:
                words.append("noinherit")
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"role {row.quoted} owns or is granted something and does not exist on the destination",
                " ".join(["create role", row.quoted, *words]) + ";",
                "destination",
            )
