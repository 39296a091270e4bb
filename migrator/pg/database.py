"""What belongs to a database as a whole: owner, comment, grants, limit, settings.

``pg_dump`` leaves these out unless it also creates the database (documentation, pg_dump, ``--create``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from migrator.pg.session import ReadSession

READ = """
select pg_catalog.pg_get_userbyid(d.datdba)::text as owner,
       d.datconnlimit as connection_limit,
       pg_catalog.shobj_description(d.oid, 'pg_database') as comment
from pg_catalog.pg_database d
where d.datname = current_database()
"""

# Grantee '' is public.
DATABASE_GRANTS = """
select case when a.grantee = 0 then '' else pg_catalog.pg_get_userbyid(a.grantee)::text end as grantee,
       a.privilege_type as privilege,
       a.is_grantable as grantable,
       pg_catalog.pg_get_userbyid(a.grantor)::text as grantor
from pg_catalog.pg_database d
cross join lateral pg_catalog.aclexplode(
    coalesce(d.datacl, pg_catalog.acldefault('d', d.datdba))) a
where d.datname = current_database()
order by 1, 2, 4
"""

PUBLIC_SCHEMA = """
select pg_catalog.pg_get_userbyid(n.nspowner)::text as owner,
       pg_catalog.obj_description(n.oid, 'pg_namespace') as comment
from pg_catalog.pg_namespace n
where n.nspname = 'public'
"""

PUBLIC_SCHEMA_GRANTS = """
select case when a.grantee = 0 then '' else pg_catalog.pg_get_userbyid(a.grantee)::text end as grantee,
       a.privilege_type as privilege,
       a.is_grantable as grantable,
       pg_catalog.pg_get_userbyid(a.grantor)::text as grantor
from pg_catalog.pg_namespace n
cross join lateral pg_catalog.aclexplode(
    coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))) a
where n.nspname = 'public'
order by 1, 2, 4
"""

SETTINGS = """
select coalesce(r.rolname, '')::text as role,
       split_part(c.setting, '=', 1) as name,
       substr(c.setting, strpos(c.setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
left join pg_catalog.pg_roles r on r.oid = s.setrole
where s.setdatabase = (
    select oid from pg_catalog.pg_database where datname = current_database()
)
order by 1, 2
"""

# Variables whose stored value is a list of quoted names (GUC_LIST_QUOTE in guc_tables.c).
LISTS_OF_NAMES = (
    "local_preload_libraries",
    "search_path",
    "session_preload_libraries",
    "shared_preload_libraries",
    "temp_tablespaces",
    "unix_socket_directories",
)
ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]*?))\s*(?:,|$)')

LATE = ("_timeout", "role", "session_preload_libraries", "local_preload_libraries")
# pg_settings does not show all of them: not role, for one.
KNOWN = (
    "select name from unnest(%s::text[]) as n (name) where pg_catalog.current_setting(name, true) is not null"
)

# The fence's own setting; it is raised and lowered by the fence alone.
READ_ONLY = "default_transaction_read_only"


class Grant(NamedTuple):
    """One privilege; an empty grantee is public."""

    grantee: str
    privilege: str
    grantable: bool
    grantor: str


class Setting(NamedTuple):
    """One setting of the database; an empty role is everybody."""

    role: str
    name: str
    value: str


class Properties(msgspec.Struct, frozen=True):
    """All of it, as it stands; JSON-ready through ``msgspec.to_builtins``."""

    owner: str
    comment: str | None
    grants: tuple[Grant, ...]
    connection_limit: int = -1
    settings: tuple[Setting, ...] = ()


def database_properties(session: ReadSession) -> Properties:
    """Read the properties of the database."""
    row = session.rows(READ)[0]
    return Properties(
        owner=row.owner,
        comment=row.comment,
        grants=tuple(Grant(*r) for r in session.rows(DATABASE_GRANTS)),
        connection_limit=row.connection_limit,
        settings=tuple(
            Setting(*r) for r in session.rows(SETTINGS) if not (r.name == READ_ONLY and r.role == "")
        ),
    )


def known_to(session: ReadSession, wanted: Properties) -> tuple[Properties, list[str]]:
    """Return the properties that a server can take, and the names of settings that it does not know."""
    known = {row.name for row in session.rows(KNOWN, [[s.name for s in wanted.settings]])}
    usable = tuple(s for s in wanted.settings if "." in s.name or s.name in known)
    left_out = sorted({s.name for s in wanted.settings} - {s.name for s in usable})
    return msgspec.structs.replace(wanted, settings=usable), left_out


def with_read_only(properties: Properties, roles: Mapping[str, str | None]) -> Properties:
    """Return them with other read-only defaults of these roles; None is none."""
    kept = [s for s in properties.settings if not (s.name == READ_ONLY and s.role in roles)]
    kept += [Setting(role, READ_ONLY, value) for role, value in roles.items() if value is not None]
    return msgspec.structs.replace(properties, settings=tuple(kept))


def without_late(wanted: Properties) -> Properties:
    """Return the properties without the settings that would hurt the stream's apply worker, or us.

    The worker obeys the database's timeouts and roles, and a library that cannot be loaded shuts
    everybody out; these are copied when the destination opens.
    """
    early = tuple(s for s in wanted.settings if not s.name.lower().endswith(LATE))
    return msgspec.structs.replace(wanted, settings=early)


def public_schema_properties(session: ReadSession) -> Properties | None:
    """Read owner, comment and grants of schema ``public``, which every database begins with."""
    row = session.row(PUBLIC_SCHEMA)
    if row is None:
        return None
    grants = tuple(Grant(*r) for r in session.rows(PUBLIC_SCHEMA_GRANTS))
    return Properties(owner=row.owner, comment=row.comment, grants=grants)


def regrant(
    thing: sql.Composable, now: tuple[Grant, ...], wanted: tuple[Grant, ...], owner: str
) -> Iterator[sql.Composed]:
    """Yield the statements that turn the grants on ``thing`` from ``now`` into ``wanted``.

    They belong into one transaction: each grant is made as the role that made it.
    """
    if now == wanted:
        return
    for grantee in sorted({g.grantee for g in now} | {""}):
        yield sql.SQL("revoke all on {} from {} cascade").format(thing, _role(grantee))
    for grant in _in_order(wanted, owner):
        yield sql.SQL("set local role {}").format(sql.Identifier(grant.grantor))
        yield sql.SQL("grant {} on {} to {}{}").format(
            sql.SQL(grant.privilege),
            thing,
            _role(grant.grantee),
            sql.SQL(" with grant option" if grant.grantable else ""),
        )
    yield sql.SQL("set local role none").format()


def _in_order(wanted: tuple[Grant, ...], owner: str) -> Iterator[Grant]:
    """Yield the grants, each after the one that gave its grantor the right to grant."""
    may_grant, left = {owner}, list(wanted)
    while left:
        ready = [g for g in left if g.grantor in may_grant] or left
        yield from ready
        may_grant |= {g.grantee for g in ready if g.grantable}
        left = [g for g in left if g not in ready]


def changes(kind: str, name: str, now: Properties, wanted: Properties) -> Iterator[sql.Composed]:
    """Yield the statements that turn ``now`` into ``wanted``; ``kind`` is database or schema.

    They belong into one transaction.
    """
    thing = sql.SQL(f"{kind} {{}}").format(sql.Identifier(name))
    if now.owner != wanted.owner:
        yield sql.SQL("alter {} owner to {}").format(thing, sql.Identifier(wanted.owner))
    if now.comment != wanted.comment:
        yield sql.SQL("comment on {} is {}").format(thing, wanted.comment)
    yield from regrant(thing, now.grants, wanted.grants, wanted.owner)
    if kind != "database":
        return
    if now.connection_limit != wanted.connection_limit:
        yield sql.SQL("alter {} connection limit {}").format(
            thing,
            sql.SQL(str(wanted.connection_limit)),
        )
    have = {(s.role, s.name): s.value for s in now.settings}
    want = {(s.role, s.name): s.value for s in wanted.settings}
    for role, setting in have.keys() - want.keys():
        yield sql.SQL("alter {}{} reset {}").format(*_whose(role, thing), _variable(setting))
    for (role, setting), value in want.items():
        if have.get((role, setting)) != value:
            yield sql.SQL("alter {}{} set {} to {}").format(
                *_whose(role, thing), _variable(setting), _value(setting, value)
            )


def assignment(name: str, value: str) -> sql.Composed:
    """Return ``name to value`` as ``alter role … set`` wants it for what the catalog holds."""
    return sql.SQL("{} to {}").format(_variable(name), _value(name, value))


def _role(name: str) -> sql.Composable:
    return sql.Identifier(name) if name else sql.SQL("public")


def _whose(role: str, database: sql.Composable) -> tuple[sql.Composable, sql.Composable]:
    if not role:
        return database, sql.SQL("")
    return sql.SQL("role {} in ").format(sql.Identifier(role)), database


def _variable(name: str) -> sql.Composable:
    return sql.Identifier(*name.split("."))


def _value(name: str, value: str) -> sql.Composable:
    if name.lower() not in LISTS_OF_NAMES:
        return sql.Literal(value)
    elements = names_in(value)
    return sql.SQL(", ").join(sql.Literal(e) for e in elements) if elements else sql.SQL("''")


def names_in(value: str) -> list[str]:
    """Return the names in the stored value of one of ``LISTS_OF_NAMES``."""
    return [
        match[2] if match[1] is None else match[1].replace('""', '"')
        for match in ELEMENT.finditer(value)
        if match[1] is not None or match[2]
    ]
