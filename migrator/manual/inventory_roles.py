"""Read the roles of the source's cluster."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from migrator.manual.inventory import (
    Membership,
    OwnSetting,
    Role,
    Setting,
    Users,
    in_creation_order,
)

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

# Names that begin so are PostgreSQL's own. The superuser that initdb makes has oid 10, whatever its name.
ROLES = """
select r.rolname::text as name,
       r.oid = 10 as bootstrap,
       r.rolsuper as superuser,
       r.rolinherit as inherit,
       r.rolcreaterole as createrole,
       r.rolcreatedb as createdb,
       r.rolcanlogin as login,
       r.rolreplication as replication,
       r.rolbypassrls as bypassrls,
       r.rolconnlimit as connection_limit,
       r.rolvaliduntil::text as expires,
       pg_catalog.shobj_description(r.oid, 'pg_authid') as comment
from pg_catalog.pg_roles r
where left(r.rolname, 3) <> 'pg_'
order by r.rolname::text collate "C"
"""

PASSWORDS = "select rolname::text as name, rolpassword as password from pg_catalog.pg_authid"

# One of PostgreSQL's own is in another since initdb; neither is ours to define.
MEMBERSHIPS = """
select r.rolname::text as role,
       u.rolname::text as member,
       pg_catalog.bool_or(m.admin_option) as admin,
       pg_catalog.bool_or(coalesce((to_jsonb(m) ->> 'inherit_option')::boolean, u.rolinherit)) as inherit,
       pg_catalog.bool_or(coalesce((to_jsonb(m) ->> 'set_option')::boolean, true)) as set
from pg_catalog.pg_auth_members m
join pg_catalog.pg_roles r on r.oid = m.roleid
join pg_catalog.pg_roles u on u.oid = m.member
where left(r.rolname, 3) <> 'pg_'
   or left(u.rolname, 3) <> 'pg_'
group by 1, 2
"""

SETTINGS = """
select r.rolname::text as role,
       coalesce(d.datname, '')::text as database,
       split_part(c.setting, '=', 1) as name,
       substr(c.setting, strpos(c.setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
join pg_catalog.pg_roles r on r.oid = s.setrole
left join pg_catalog.pg_database d on d.oid = s.setdatabase
cross join lateral unnest(s.setconfig) as c (setting)
order by 1, 2, 3
"""

DATABASE = "select current_database()::text"


def read_users(session: ReadSession, *, with_passwords: bool) -> Users:
    """Read all roles but PostgreSQL's own, and which role is in which.

    Only a superuser may read passwords; without them any role may read the rest.
    """
    passwords = {row.name: row.password for row in session.rows(PASSWORDS)} if with_passwords else {}
    wide: dict[str, list[Setting]] = defaultdict(list)
    own: list[OwnSetting] = []
    for row in session.rows(SETTINGS):
        setting = Setting(row.name, row.value)
        if row.database:
            own.append(OwnSetting(row.role, row.database, setting))
        else:
            wide[row.role].append(setting)
    roles = {
        row.name: Role(**row._asdict(), password=passwords.get(row.name), settings=tuple(wide[row.name]))
        for row in session.rows(ROLES)
    }
    memberships = [Membership(**row._asdict()) for row in session.rows(MEMBERSHIPS)]
    granted: dict[str, list[str]] = defaultdict(list)
    for membership in memberships:
        granted[membership.member].append(membership.role)
    order = in_creation_order(roles, granted)
    place = {name: number for number, name in enumerate(order)}
    memberships.sort(key=lambda m: (place.get(m.member, -1), m.member, place.get(m.role, -1), m.role))
    return Users(
        database=session.value(DATABASE),
        roles=tuple(roles[name] for name in order),
        memberships=tuple(memberships),
        own_settings=tuple(own),
    )
