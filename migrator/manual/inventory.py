"""What a source has beside its tables, as values: roles, the database, the rules of pg_hba.conf."""

from __future__ import annotations

from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Part = Literal["users", "database", "hba"]
PARTS: tuple[Part, ...] = ("users", "database", "hba")


@dataclass(frozen=True)
class Setting:
    """A variable and its value as the server keeps it: a list of names is quoted where it must be."""

    name: str
    value: str


@dataclass(frozen=True)
class OwnSetting:
    """A setting of a role that holds in one database only."""

    role: str
    database: str
    setting: Setting


@dataclass(frozen=True)
class Role:
    """A role of the cluster. ``expires`` is a moment in UTC, ``infinity``, ``-infinity``, or None for never.

    ``bootstrap`` is the superuser that every cluster begins with. ``password`` is the stored hash, None
    where there is none or it was not asked for.
    """

    name: str
    bootstrap: bool
    superuser: bool
    inherit: bool
    createrole: bool
    createdb: bool
    login: bool
    replication: bool
    bypassrls: bool
    connection_limit: int
    expires: str | None
    comment: str | None
    password: str | None
    settings: tuple[Setting, ...]


@dataclass(frozen=True)
class Membership:
    """That ``member`` is in ``role``. Grants of the same by several roles are one; who granted is left out.

    Before PostgreSQL 16 the options are what that version does without having them: a member inherits as
    its role says, and may always ``set role``.
    """

    role: str
    member: str
    admin: bool
    inherit: bool
    set: bool


@dataclass(frozen=True)
class Users:
    """The roles of the cluster and their memberships, a granted role before its member.

    ``database`` is the one that migrates; its part of ``own_settings`` belongs to its definition.
    """

    database: str
    roles: tuple[Role, ...]
    memberships: tuple[Membership, ...]
    own_settings: tuple[OwnSetting, ...]


@dataclass(frozen=True)
class Schema:
    """A schema that is neither PostgreSQL's nor an extension's nor ours."""

    name: str
    owner: str


@dataclass(frozen=True)
class Extension:
    """An extension other than plpgsql, in creation order."""

    name: str
    schema: str
    version: str


@dataclass(frozen=True)
class Database:
    """The database that migrates. ``new_name`` is its name in the new cluster.

    ``provider`` is ``libc``, ``icu`` or ``builtin``, None before 15, which has libc alone; ``locale`` and
    ``rules`` are that provider's own.
    ``connect_revoked``: not everybody may connect. ``own_settings`` are those of roles in this database.
    """

    name: str
    new_name: str
    owner: str
    encoding: str
    provider: str | None
    collate: str
    ctype: str
    locale: str | None
    rules: str | None
    tablespace: str
    is_template: bool
    allow_connections: bool
    connection_limit: int
    connect_revoked: bool
    comment: str | None
    schemas: tuple[Schema, ...]
    extensions: tuple[Extension, ...]
    settings: tuple[Setting, ...]
    own_settings: tuple[OwnSetting, ...]


@dataclass(frozen=True)
class Rule:
    """A line of pg_hba.conf as ``pg_hba_file_rules`` shows it.

    Of a line that is wrong there are only file, line and error. ``file`` is empty before PostgreSQL 16,
    which has one file only. ``databases`` and ``users`` are spelled as in that file, keywords in quotes where
    they are names. ``complete``: the line itself was read too, which alone tells of quotes and some options.
    """

    file: str
    line: int
    type: str | None
    databases: tuple[str, ...]
    users: tuple[str, ...]
    address: str | None
    netmask: str | None
    method: str | None
    options: tuple[str, ...]
    error: str | None
    complete: bool

    @property
    def where(self) -> str:
        """Return the line's place, for people."""
        return f"line {self.line} of {self.file.rpartition('/')[2] or 'pg_hba.conf'}"


@dataclass(frozen=True)
class Hba:
    """The rules of pg_hba.conf in the order in which they are tried.

    ``pending``: a file was changed since it was loaded; None where that is not to be known.
    """

    rules: tuple[Rule, ...]
    pending: bool | None


@dataclass(frozen=True)
class Inventory:
    """What was read of a source; a part that was not asked for is None. ``origin`` says where, for people."""

    origin: str
    users: Users | None = None
    database: Database | None = None
    hba: Hba | None = None


def in_creation_order(names: Iterable[str], needs: Mapping[str, Iterable[str]]) -> list[str]:
    """Return the names, each after those that it needs, otherwise in the order given."""
    place = {name: number for number, name in enumerate(names)}
    sorter: TopologicalSorter[str] = TopologicalSorter(
        {name: [need for need in needs.get(name, ()) if need in place] for name in place}
    )
    sorter.prepare()
    ready: list[str] = []
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted([*ready, *sorter.get_ready()], key=place.__getitem__)
        ordered.append(ready.pop(0))
        sorter.done(ordered[-1])
    return ordered
