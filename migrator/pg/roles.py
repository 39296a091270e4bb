"""Which roles of a cluster a database has to do with, and what they are.

Roles belong to a cluster and are in no dump. A database has to do with those that its objects name, and with
whoever gets its rights through them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from migrator.pg.session import ReadSession

# Owners, grantees, policies (pg_shdepend), default privileges, and roles with settings in this database; then
# their members, and theirs, and what all of these are members of.
ROLES = """
with recursive here as (
    select oid, datdba from pg_catalog.pg_database where datname = current_database()
),
named as (
    select d.refobjid as oid
    from pg_catalog.pg_shdepend d, here
    where d.refclassid = 'pg_catalog.pg_authid'::pg_catalog.regclass
      and (d.dbid = here.oid
           or (d.classid = 'pg_catalog.pg_database'::pg_catalog.regclass and d.objid = here.oid))
    union
    select datdba from here
    union
    select s.setrole from pg_catalog.pg_db_role_setting s, here where s.setdatabase = here.oid
),
members (oid) as (
    select n.oid from named n join pg_catalog.pg_roles r on r.oid = n.oid where r.rolname !~ '^pg_'
    union
    select m.member from pg_catalog.pg_auth_members m join members g on m.roleid = g.oid
),
concerned (oid) as (
    select oid from members
    union
    select m.roleid from pg_catalog.pg_auth_members m join concerned c on m.member = c.oid
)
select r.rolname::text as name,
       pg_catalog.quote_ident(r.rolname) as quoted,
       r.oid in (select oid from named) as named,
       r.oid in (select oid from concerned union select oid from named) as concerned,
       r.rolsuper as superuser,
       r.rolcreaterole as createrole,
       r.rolcreatedb as createdb,
       r.rolcanlogin as login,
       r.rolreplication as replication,
       r.rolbypassrls as bypassrls,
       r.rolinherit as inherit,
       r.rolconnlimit as connections,
       case
           when r.rolvaliduntil < 'infinity'
           then least(greatest(r.rolvaliduntil, '0001-01-02'), '9999-01-01')
       end as until
from pg_catalog.pg_roles r
order by r.rolname
"""
# Since 16 a membership says for itself whether its rights are inherited, and by whom it was granted.
MEMBERSHIPS = """
select g.rolname::text as role,
       m.rolname::text as member,
       bool_or(a.admin_option) as admin,
       coalesce(bool_or((to_jsonb(a) ->> 'inherit_option')::boolean), bool_or(m.rolinherit)) as inherit,
       coalesce(bool_or((to_jsonb(a) ->> 'set_option')::boolean), true) as set
from pg_catalog.pg_auth_members a
join pg_catalog.pg_roles g on g.oid = a.roleid
join pg_catalog.pg_roles m on m.oid = a.member
group by g.rolname, m.rolname
order by g.rolname, m.rolname
"""
SETTINGS = """
select coalesce(r.rolname, '')::text as role,
       split_part(c.setting, '=', 1) as name,
       substr(c.setting, strpos(c.setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
left join pg_catalog.pg_roles r on r.oid = s.setrole
where s.setdatabase = 0
order by 1, 2
"""
WITHOUT_PASSWORD = """
select rolname::text as name
from pg_catalog.pg_authid
where rolcanlogin
  and rolpassword is null
"""
ATTRIBUTES = ("superuser", "createrole", "createdb", "login", "replication", "bypassrls")


@dataclass(frozen=True)
class Role:
    """A role and its attributes.

    ``named`` says that objects of the database name it itself, ``concerned`` that the database has to do
    with it at all. ``until`` is when it expires, or None.
    """

    name: str
    quoted: str
    named: bool
    concerned: bool
    superuser: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    inherit: bool
    connections: int
    until: datetime | None

    @property
    def creation(self) -> str:
        """Return the SQL that makes such a role, without password, limit and expiry."""
        words = [word for word in ATTRIBUTES if getattr(self, word)] + ["noinherit"] * (not self.inherit)
        return " ".join(["create role", self.quoted, *words]) + ";"


@dataclass(frozen=True)
class Membership:
    """A role's membership in another one, and what the member may do with it."""

    role: str
    member: str
    admin: bool
    inherit: bool
    set: bool

    def granting(self, *, options: bool) -> str:
        """Return the SQL that grants it, with those options that 16 brought or without them."""
        text = sql.SQL("grant {} to {}").format(sql.Identifier(self.role), sql.Identifier(self.member))
        grant = text.as_string()
        if not options:
            return grant + (" with admin option;" if self.admin else ";")
        said = {"admin": self.admin, "inherit": self.inherit, "set": self.set}
        return f"{grant} with {', '.join(f'{name} {str(value).lower()}' for name, value in said.items())};"


def everybody(session: ReadSession) -> dict[str, Role]:
    """Return all roles of the cluster by name, in that order."""
    return {row.name: Role(**row._asdict()) for row in session.rows(ROLES)}


def concerned(session: ReadSession) -> list[Role]:
    """Return the roles that the database has to do with, by name; PostgreSQL's own among them."""
    return [role for role in everybody(session).values() if role.concerned]


def memberships(session: ReadSession) -> list[Membership]:
    """Return all memberships of the cluster, by role and member."""
    return [Membership(**row._asdict()) for row in session.rows(MEMBERSHIPS)]


def settings(session: ReadSession) -> dict[tuple[str, str], str]:
    """Return what ``alter role … set`` gives roles in every database, by role (empty is all) and name."""
    return {(row.role, row.name): row.value for row in session.rows(SETTINGS)}


def without_password(session: ReadSession) -> set[str]:
    """Return the roles that may log in and have no password. Only a superuser may ask."""
    return {row.name for row in session.rows(WITHOUT_PASSWORD)}


def names(roles: Iterable[Role]) -> set[str]:
    """Return the roles' names."""
    return {role.name for role in roles}
