"""Write roles and a database as Pigsty's ``pg_users`` and ``pg_databases``.

What is written is accepted by Pigsty's ``bin/validate``, which takes lists of strings only, no nulls, and
dates without a time; what these cannot say is a ``Note`` with the SQL that says it. So are texts that
Ansible would take for its templates.

A role is put into pgbouncer's list of users where it may log in and is neither a superuser nor for
replication: the pooler lets in only those listed, and its users are the application's.
The database is made of template0, since template1 of a Pigsty cluster holds objects, and migrator wants
an empty database.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from migrator.manual.plain import (
    PUBLIC,
    Note,
    create_extension,
    database_notes,
    database_script,
    database_setting,
    grant,
    own_setting,
    role_setting,
    role_statements,
    users_notes,
)
from migrator.manual.statements import connect_command, identifier, literal
from migrator.pg.database import LISTS_OF_NAMES, READ_ONLY, names_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.manual.inventory import Database, Extension, Membership, Role, Setting, Users

# What Pigsty makes by itself; defined again they would lose what it gives them.
BUILT_IN = (
    "postgres",
    "replicator",
    "dbuser_dba",
    "dbuser_monitor",
    "dbrole_readonly",
    "dbrole_offline",
    "dbrole_readwrite",
    "dbrole_admin",
)
ROLE_NAME = re.compile(r"[a-z_][a-z0-9_@.-]{0,62}")
DATABASE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")
# Midnight of a day with four digits of a year; PostgreSQL writes others with more, or with BC.
DAY = re.compile(r"(\d{4}-\d{2}-\d{2}) 00:00:00\+00")
MOMENT = re.compile(r"(\d{4}-\d{2}-\d{2}) [0-9:.]+\+00")
# Sooner than what cannot be said, never later.
LAST_DAY, LONG_PAST = "9999-12-31", "1970-01-01"
# Where a value of these is said by itself; a name is cut off after so many bytes, a text is not.
LONGEST_NAME = 63
PARAMETER = re.compile(r"[A-Za-z_][A-Za-z0-9_$.]*")

# What a role is unless pg_users says something else; not what it is to SQL.
DEFAULTS = {
    "login": True,
    "inherit": True,
    "superuser": False,
    "createrole": False,
    "createdb": False,
    "replication": False,
    "bypassrls": False,
}

Definition = dict[str, Any]


def users_definition(users: Users) -> tuple[list[Definition], list[Note]]:
    """Return ``pg_users`` in creation order, and what it does not carry."""
    carried = {role.name for role in users.roles if is_carried(role.name)}
    known = {role.name for role in users.roles} & set(BUILT_IN) | carried
    defined: list[Definition] = []
    notes: list[Note] = []
    for role in users.roles:
        if role.name in carried:
            groups = [m.role for m in users.memberships if m.member == role.name and _is_sayable(m, known)]
            defined.append(_user(role, groups))
            notes += _user_notes(role)
        elif role.name in BUILT_IN:
            settings = tuple(role_setting(role.name, s) for s in role.settings)
            notes.append(Note(f"role {role.name}, which is built into Pigsty", settings))
        else:
            why = f"role {identifier(role.name)}, whose name Pigsty does not take"
            notes.append(Note(why, tuple(role_statements(role))))
    inherits = {role.name: role.inherit for role in users.roles}
    for membership in users.memberships:
        if membership.member not in carried or not _is_sayable(membership, known):
            why = f"that {identifier(membership.member)} is in {identifier(membership.role)}"
        elif membership.admin or not membership.set or membership.inherit is not inherits[membership.member]:
            why = f"options of {identifier(membership.member)} in {identifier(membership.role)}"
        else:
            continue
        notes.append(Note(why, (grant(membership, users),)))
    return defined, [*notes, *users_notes(users)]


def _is_sayable(membership: Membership, known: set[str]) -> bool:
    return membership.role in known or membership.role.startswith("pg_")


def _user(role: Role, groups: list[str]) -> Definition:
    user: Definition = {"name": role.name}
    if role.password is not None:
        user["password"] = role.password
    for word, default in DEFAULTS.items():
        value: bool = getattr(role, word)
        if value is not default:
            user[word] = value
    if role.login and not role.superuser and not role.replication:
        user["pgbouncer"] = True
    if groups:
        user["roles"] = groups
    if (day := last_day(role.expires)) is not None:
        user["expire_at"] = day
    if role.connection_limit != -1:
        user["connlimit"] = role.connection_limit
    if parameters := _parameters(role.settings):
        user["parameters"] = parameters
    user["comment"] = _comment(role.comment)
    return user


def _user_notes(role: Role) -> Iterator[Note]:
    name = identifier(role.name)
    if role.expires is not None and not DAY.fullmatch(role.expires):
        statement = f"alter role {name} valid until {literal(role.expires)};"
        yield Note(f"the moment until which {name} is valid", (statement,))
    if role.comment is not None and not is_plain(role.comment):
        yield Note(f"the comment on {name}", (f"comment on role {name} is {literal(role.comment)};",))
    for setting in role.settings:
        if not _is_parameter(setting):
            yield Note(f"a setting of {name}", (role_setting(role.name, setting),))


def last_day(expires: str | None) -> str | None:
    """Return the day on which a role expires, of UTC: the same, an earlier one, or None for never."""
    if expires is None or expires == "infinity":
        return None
    if expires == "-infinity" or expires.endswith(" BC"):
        return LONG_PAST
    moment = MOMENT.fullmatch(expires)
    return moment[1] if moment else LAST_DAY


def _parameters(settings: tuple[Setting, ...]) -> dict[str, str]:
    return {s.name: _parameter(s) for s in settings if _is_parameter(s)}


def _is_parameter(setting: Setting) -> bool:
    """Return whether Pigsty sets it as it is: to the word default it would reset it."""
    named = PARAMETER.fullmatch(setting.name) is not None and setting.name != READ_ONLY
    return named and is_plain(setting.value) and setting.value.upper() != "DEFAULT"


def _parameter(setting: Setting) -> str:
    """Return the value as Pigsty takes it: a list as SQL, anything else as text."""
    if setting.name.lower() not in LISTS_OF_NAMES:
        return setting.value
    names = names_in(setting.value)
    if all(0 < len(name.encode()) <= LONGEST_NAME for name in names):
        return setting.value
    return ", ".join(map(literal, names))


def _comment(comment: str | None) -> str:
    """Return the comment to be given; without one, Pigsty would give one of its own."""
    return comment if comment is not None and is_plain(comment) else ""


def is_carried(name: str) -> bool:
    """Return whether Pigsty can be told to make a role of that name."""
    return ROLE_NAME.fullmatch(name) is not None and name not in BUILT_IN


def is_plain(text: str) -> bool:
    """Return whether Ansible takes a text as it is: it would look for variables behind these."""
    return not any(opening in text for opening in ("{{", "{%", "{#"))


def database_definition(database: Database, *, empty: bool) -> tuple[list[Definition], list[Note]]:
    """Return ``pg_databases``, and what it does not carry; ``empty`` leaves out what is inside it."""
    made_with = (database.encoding, database.collate, database.ctype, database.locale, database.rules)
    if not DATABASE_NAME.fullmatch(database.new_name) or not all(is_plain(text or "") for text in made_with):
        why = f"database {identifier(database.new_name)}, which Pigsty cannot be told to make"
        script = Note(why, tuple(database_script(database, empty=empty)))
        return [], [script, *database_notes(database, empty=empty)]
    definition: Definition = {"name": database.new_name}
    if is_carried(database.owner) or database.owner in BUILT_IN:
        definition["owner"] = database.owner
    definition |= {
        "template": "template0",
        "encoding": database.encoding,
        "locale_provider": database.provider or "libc",
        "lc_collate": database.collate,
        "lc_ctype": database.ctype,
    }
    if database.locale is not None:
        definition[f"{database.provider}_locale"] = database.locale
    if database.rules is not None:
        definition["icu_rules"] = database.rules
    if database.is_template:
        definition["is_template"] = True
    if database.connect_revoked:
        definition["revokeconn"] = True
    if database.connection_limit != -1:
        definition["connlimit"] = database.connection_limit
    if not empty:
        definition |= _contents(database)
    if parameters := _parameters(database.settings):
        definition["parameters"] = parameters
    definition["comment"] = _comment(database.comment)
    notes = [*_database_notes(database), *database_notes(database, empty=empty)]
    return [definition], notes if empty else [*notes, *_contents_notes(database)]


def _contents(database: Database) -> Definition:
    schemas = [s.name for s in database.schemas if s.name != PUBLIC and _is_name(s.name)]
    extensions = [{"name": e.name, "schema": e.schema} for e in database.extensions if _is_extension(e)]
    lists = {"schemas": schemas, "extensions": extensions}
    return {key: value for key, value in lists.items() if value}


def _database_notes(database: Database) -> Iterator[Note]:
    name = identifier(database.new_name)
    if not is_carried(database.owner) and database.owner not in BUILT_IN:
        yield Note("its owner", (f"alter database {name} owner to {identifier(database.owner)};",))
    if database.comment is not None and not is_plain(database.comment):
        yield Note("its comment", (f"comment on database {name} is {literal(database.comment)};",))
    for setting in database.settings:
        if not _is_parameter(setting) and setting.name != READ_ONLY:
            yield Note("a setting", (database_setting(database.new_name, setting),))
    if database.own_settings:
        statements = tuple(own_setting(own, database.new_name) for own in database.own_settings)
        yield Note("settings of roles in this database", statements)


def _contents_notes(database: Database) -> Iterator[Note]:
    """Yield what is to be said inside the database: owners above all, Pigsty makes everything its own."""
    statements: list[str] = []
    for schema in database.schemas:
        name, owner = identifier(schema.name), identifier(schema.owner)
        if schema.name == PUBLIC or _is_name(schema.name):
            statements.append(f"alter schema {name} owner to {owner};")
        else:
            statements.append(f"create schema {name} authorization {owner};")
    if PUBLIC not in {schema.name for schema in database.schemas}:
        statements.append(f"drop schema {identifier(PUBLIC)};")
    statements += [create_extension(e) for e in database.extensions if not _is_extension(e)]
    if statements:
        why = "schemas as they are owned, and names that Pigsty does not take; in the database"
        yield Note(why, (connect_command(database.new_name), *statements))


def _is_extension(extension: Extension) -> bool:
    return _is_name(extension.name) and _is_name(extension.schema)


def _is_name(name: str) -> bool:
    """Return whether Pigsty can put a name between its own quotes."""
    return is_plain(name) and '"' not in name
