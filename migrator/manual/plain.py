"""Write roles and a database as SQL for psql, and say what the SQL leaves out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.manual.statements import (
    PREAMBLE,
    connect_command,
    identifier,
    literal,
    setting_value,
    variable,
)
from migrator.pg.database import READ_ONLY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.manual.inventory import (
        Database,
        Extension,
        Membership,
        OwnSetting,
        Role,
        Schema,
        Setting,
        Users,
    )

# The attributes of a role as SQL says them, and what they are unless something else is said.
ATTRIBUTES = {
    "superuser": False,
    "inherit": True,
    "createrole": False,
    "createdb": False,
    "login": False,
    "replication": False,
    "bypassrls": False,
}
DEFAULT_TABLESPACE = "pg_default"
PUBLIC = "public"


@dataclass(frozen=True)
class Note:
    """Something that a definition does not carry, and the SQL that says it, where there is any."""

    text: str
    sql: tuple[str, ...] = ()


def users_script(users: Users) -> list[str]:
    """Return all statements that make the roles, in order."""
    lines = [*PREAMBLE]
    for role in users.roles:
        lines += role_statements(role)
    return lines + [grant(membership, users) for membership in users.memberships]


def users_notes(users: Users) -> Iterator[Note]:
    """Yield what the statements for the roles leave out."""
    elsewhere = [own for own in users.own_settings if own.database != users.database]
    if len(elsewhere) < len(users.own_settings):
        yield Note(f"settings of roles in database {identifier(users.database)}: check-db has them")
    if elsewhere:
        yield Note(
            "settings of roles in other databases, for where these exist",
            tuple(own_setting(own, own.database) for own in elsewhere),
        )
    if users.memberships:
        yield Note("who granted a membership: all are granted by whoever runs this")


def role_statements(role: Role) -> list[str]:
    """Return the statements that make a role: itself, its comment, its settings."""
    name = identifier(role.name)
    if role.bootstrap:
        # The new cluster begins with one too, of this name or of another.
        lines = [
            "do "
            + literal(
                f"begin if not exists (select from pg_catalog.pg_roles where rolname = {literal(role.name)}) "
                f"then create role {name}; end if; end"
            )
            + ";",
            f"alter role {name} with {' '.join(_attributes(role, every=True))};",
        ]
    else:
        lines = [" ".join([f"create role {name}", *_attributes(role)]) + ";"]
    if role.comment is not None:
        lines.append(f"comment on role {name} is {literal(role.comment)};")
    return lines + [role_setting(role.name, setting) for setting in role.settings]


def _attributes(role: Role, *, every: bool = False) -> Iterator[str]:
    for word, default in ATTRIBUTES.items():
        value: bool = getattr(role, word)
        if every or value is not default:
            yield word if value else f"no{word}"
    if every or role.connection_limit != -1:
        yield f"connection limit {role.connection_limit}"
    if role.password is not None:
        yield f"password {literal(role.password)}"
    if role.expires is not None:
        yield f"valid until {literal(role.expires)}"


def role_setting(role: str, setting: Setting) -> str:
    """Return the statement that sets something for a role."""
    return f"alter role {identifier(role)} set {_assignment(setting)};"


def own_setting(own: OwnSetting, database: str) -> str:
    """Return the statement that sets something for a role in a database."""
    role = identifier(own.role)
    return f"alter role {role} in database {identifier(database)} set {_assignment(own.setting)};"


def database_setting(database: str, setting: Setting) -> str:
    """Return the statement that sets something for a database."""
    return f"alter database {identifier(database)} set {_assignment(setting)};"


def _assignment(setting: Setting) -> str:
    return f"{variable(setting.name)} to {setting_value(setting.name, setting.value)}"


def grant(membership: Membership, users: Users) -> str:
    """Return the statement that puts a role into another one, with options only where they are not usual."""
    inherits = {role.name: role.inherit for role in users.roles}
    words = f"grant {identifier(membership.role)} to {identifier(membership.member)}"
    options = []
    if membership.inherit is not inherits.get(membership.member, True):
        options.append(f"inherit {str(membership.inherit).lower()}")
    if not membership.set:
        options.append("set false")
    if not options:
        return words + (" with admin option;" if membership.admin else ";")
    # As of 16, which has these options.
    if membership.admin:
        options.insert(0, "admin true")
    return f"{words} with {', '.join(options)};"


def database_script(database: Database, *, empty: bool) -> list[str]:
    """Return all statements that make the database, in order; ``empty`` leaves out what is inside it."""
    lines = [*PREAMBLE, create_database(database)]
    if not empty:
        lines += [connect_command(database.new_name), *PREAMBLE]
        lines += schema_statements(database.schemas)
        lines += [create_extension(extension) for extension in database.extensions]
    return lines + database_properties(database)


def database_notes(database: Database, *, empty: bool) -> Iterator[Note]:
    """Yield what no definition of the database carries."""
    name = identifier(database.new_name)
    if database.tablespace != DEFAULT_TABLESPACE:
        tablespace = identifier(database.tablespace)
        yield Note(
            f"its tablespace {tablespace}: where the new cluster has one",
            (f"alter database {name} set tablespace {tablespace};",),
        )
    if not database.allow_connections:
        yield Note(
            "that it takes no connections, while migrator needs some",
            (f"alter database {name} allow_connections false;",),
        )
    if database.connect_revoked:
        yield Note("who may connect in place of everybody: copy_schema brings the grants")
    for setting in database.settings:
        if setting.name == READ_ONLY:
            yield Note(
                "its read-only default, which is also how migrator keeps writers out",
                (database_setting(database.new_name, setting),),
            )
    if empty:
        if database.schemas or database.extensions:
            yield Note("schemas and extensions: copy_schema brings them")
    elif database.extensions:
        versions = ", ".join(f"{identifier(e.name)} {e.version}" for e in database.extensions)
        yield Note(f"versions of extensions, the new cluster has its own: {versions}")


def provider_note(database: Database) -> Iterator[Note]:
    """Yield that the source cannot say by which provider the new database is to sort."""
    if database.provider is None:
        yield Note(
            "its locale provider, libc: where the new cluster's own is another, say it in create database"
        )


def create_database(database: Database) -> str:
    """Return the statement that creates the database, which cannot run inside a transaction."""
    clauses = [
        f"create database {identifier(database.new_name)}",
        f"owner {identifier(database.owner)}",
        "template template0",
        f"encoding {literal(database.encoding)}",
        f"lc_collate {literal(database.collate)}",
        f"lc_ctype {literal(database.ctype)}",
    ]
    if database.provider is not None:
        clauses.append(f"locale_provider {database.provider}")
    if database.locale is not None:
        clauses.append(f"{database.provider}_locale {literal(database.locale)}")
    if database.rules is not None:
        clauses.append(f"icu_rules {literal(database.rules)}")
    return " ".join(clauses) + ";"


def schema_statements(schemas: tuple[Schema, ...]) -> Iterator[str]:
    """Yield the statements that make the schemas; a new database has the schema public."""
    if PUBLIC not in {schema.name for schema in schemas}:
        yield f"drop schema {identifier(PUBLIC)};"
    for schema in schemas:
        name, owner = identifier(schema.name), identifier(schema.owner)
        if schema.name == PUBLIC:
            yield f"alter schema {name} owner to {owner};"
        else:
            yield f"create schema {name} authorization {owner};"


def create_extension(extension: Extension) -> str:
    """Return the statement that creates an extension, and those that it needs."""
    name, schema = identifier(extension.name), identifier(extension.schema)
    return f"create extension if not exists {name} with schema {schema} cascade;"


def database_properties(database: Database) -> list[str]:
    """Return what is said of a database after it was made; a limit or a setting may be in the way before."""
    name = identifier(database.new_name)
    lines = []
    if database.comment is not None:
        lines.append(f"comment on database {name} is {literal(database.comment)};")
    if database.connect_revoked:
        lines.append(f"revoke connect on database {name} from public;")
    lines += [database_setting(database.new_name, s) for s in database.settings if s.name != READ_ONLY]
    lines += [own_setting(own, database.new_name) for own in database.own_settings]
    if database.connection_limit != -1:
        lines.append(f"alter database {name} connection limit {database.connection_limit};")
    if database.is_template:
        lines.append(f"alter database {name} is_template true;")
    return lines
