"""Read ``migrator.toml`` into frozen values; refuse what is not understood.

Unknown keys, wrong types and unusable values are refused with the key's full name and what is
accepted. Durations are written ``"10s"``, ``"500ms"``, ``"5min"``, ``"2h"``; sizes ``"1GB"``.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from migrator.errors import ConfigError

DEFAULT_FILE = "migrator.toml"
DURATION_UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
SIZE_UNITS = {"B": 1, "kB": 1024, "MB": 1024**2, "GB": 1024**3, "TB": 1024**4}


class Duration(float):
    """A length of time in seconds, written with its unit."""


class Size(int):
    """A number of bytes, written with its unit."""


class _Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class MigrationSection(_Section, frozen=True):
    """Who we are: ``name`` names the migration in the store and on the servers."""

    name: str


class ServerSection(_Section, frozen=True):
    """How to reach a server. libpq rules: service, passfile and PG* variables work."""

    url: str


class ReplicationSection(_Section, frozen=True):
    """How the servers reach each other; empty means derived from the urls."""

    source_conninfo: str = ""
    destination_conninfo: str = ""
    catch_up_timeout: Duration = Duration(3600)


class TablesSection(_Section, frozen=True):
    """Which tables' rows migrate (the schema is always copied whole). Shell patterns on
    ``schema.table``."""

    include: tuple[str, ...] = ("*.*",)
    exclude: tuple[str, ...] = ()
    unlogged: Literal["refuse", "skip"] = "refuse"
    large_objects: Literal["refuse", "ignore"] = "refuse"


class CopySection(_Section, frozen=True):
    """How the initial copy runs."""

    lock_timeout: Duration = Duration(2)
    lock_attempts: int = 30


class SequencesSection(_Section, frozen=True):
    """``shift`` is added to every sequence, in the direction it counts."""

    shift: int = 1000


class CutoverSection(_Section, frozen=True):
    """How the writes are handed over."""

    max_pause: Duration = Duration(10)
    max_lag: Duration = Duration(5)
    lock_timeout: Duration = Duration(1)
    attempts: int = 5
    fence: Literal["lock"] = "lock"
    router: Literal["manual", "command"] = "manual"


class CommandRouterSection(_Section, frozen=True):
    """The operator's own programs: each a list of words, run without a shell."""

    disable_source: tuple[str, ...] = ()
    re_route: tuple[str, ...] = ()
    timeout: Duration = Duration(60)


class RouterSection(_Section, frozen=True):
    """Options of the routers, one table each."""

    command: CommandRouterSection = CommandRouterSection()


class CleanupSection(_Section, frozen=True):
    """What is left behind at the end."""

    source_read_only: bool = True


class StateSection(_Section, frozen=True):
    """Where the state store is: a SQLAlchemy url, SQLite or PostgreSQL."""

    url: str = "sqlite:///.migrator/state.db"


class Config(_Section, frozen=True):
    """A whole ``migrator.toml``."""

    migration: MigrationSection
    source: ServerSection
    destination: ServerSection
    replication: ReplicationSection = ReplicationSection()
    tables: TablesSection = TablesSection()
    copy: CopySection = CopySection()
    sequences: SequencesSection = SequencesSection()
    cutover: CutoverSection = CutoverSection()
    router: RouterSection = RouterSection()
    cleanup: CleanupSection = CleanupSection()
    state: StateSection = StateSection()
