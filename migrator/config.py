"""Read ``migrator.toml`` into frozen values; refuse what is not understood.

Unknown keys, wrong types and unusable values are refused with the key's full name and what is
accepted. Durations are written ``"10s"``, ``"500ms"``, ``"5min"``, ``"2h"``; sizes ``"1GB"``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from msgspec import field

from migrator.config_convert import Allowance, Duration, Size, convert, show
from migrator.config_fence import FenceSection, unusable_fence
from migrator.config_router import RouterSection, unusable_router, unusable_url
from migrator.config_values import (
    MAX_STREAMS,
    Cluster,
    Count,
    Name,
    Pattern,
    Patterns,
    Reasons,
    Section,
    Shift,
    StateUrl,
    Streams,
    Url,
)
from migrator.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DEFAULT_FILE", "MAX_STREAMS", "Config", "Duration", "LoadedConfig", "Size", "load"]

DEFAULT_FILE = "migrator.toml"
SMALLEST_PIECE = 1024**2


class MigrationSection(Section, frozen=True):
    """Who we are: ``name`` names the migration in the store and on the servers."""

    name: Name


class ContextSection(Section, frozen=True):
    """What the clusters are called in the context of the scripts; empty means derived.

    Derived is the source's from ``migration.name`` without ``.DATABASE`` at its end, otherwise from the
    url's host.
    """

    source_cluster: Cluster = ""
    destination_cluster: Cluster = ""


class ServerSection(Section, frozen=True):
    """How to reach a server. libpq rules: service, passfile and PG* variables work."""

    url: Url


class ConnectionsSection(Section, frozen=True):
    """How long a command tries to have a server back that it lost, before it ends."""

    retry_for: Duration = Duration(60)


class ReplicationSection(Section, frozen=True):
    """How the servers reach each other (empty means derived from the urls), and by how many streams.

    ``split_tied`` lets foreign keys and partitions lead from one stream to another.
    """

    source_conninfo: str = ""
    destination_conninfo: str = ""
    catch_up_timeout: Duration = Duration(3600)
    streams: Streams = 1
    split_tied: bool = False


class TablesSection(Section, frozen=True):
    """Which tables' rows migrate (the schema is always copied whole). Shell patterns on
    ``schema.table``.
    """

    include: Patterns = ("*.*",)
    exclude: tuple[Pattern, ...] = ()
    unlogged: Literal["refuse", "copy", "skip"] = "refuse"
    large_objects: Literal["refuse", "copy", "ignore"] = "refuse"


class ChecksSection(Section, frozen=True):
    """Findings that preflight goes on with, each with the reason: by a check, or as ``check:subject``."""

    waive: Reasons = field(default_factory=dict)


class CopySection(Section, frozen=True):
    """How the initial copy runs: ``jobs`` tables or pieces, and ``index_jobs`` builds, at a time.

    When 0, ``split_above`` is what suits the machine, ``index_memory``, which the builds use together, is
    as much as the destination's shared buffers, and ``max_retained_wal`` and ``max_bytes_per_second``, of
    all jobs together, are unlimited.
    """

    jobs: Count = 4
    index_jobs: Count = 4
    index_memory: Size = Size(0)
    split_above: Size = Size(0)
    lock_timeout: Duration = Duration(2)
    lock_attempts: Count = 30
    max_retained_wal: Size = Size(0)
    max_bytes_per_second: Size = Size(0)


class SequencesSection(Section, frozen=True):
    """``shift`` is added to every sequence, in the direction it counts."""

    shift: Shift = 1000


class CutoverSection(Section, frozen=True):
    """How the writes are handed over. No transaction is as old as the default of the blockers' age."""

    max_pause: Duration = Duration(10)
    max_lag: Duration = Duration(5)
    lock_timeout: Duration = Duration(1)
    attempts: Count = 5
    max_transaction_age: Duration = Duration(60)
    terminate_blockers_after: Duration = Duration(24 * 86400)
    reverse: Literal["required", "auto", "off"] = "required"
    fence: Literal["lock", "read_only", "command"] = "lock"
    quick_diff: Allowance = Allowance(1)
    prove: bool = True
    router: Literal["manual", "command", "pgbouncer", "haproxy"] = "manual"


class CleanupSection(Section, frozen=True):
    """What is left behind at the end."""

    source_read_only: bool = True


class StateSection(Section, frozen=True):
    """Where the state store is: a SQLAlchemy url, SQLite or PostgreSQL."""

    url: StateUrl = "sqlite:///.migrator/state.db"


class Config(Section, frozen=True):
    """A whole ``migrator.toml``."""

    migration: MigrationSection
    source: ServerSection
    destination: ServerSection
    context: ContextSection = ContextSection()
    connections: ConnectionsSection = ConnectionsSection()
    replication: ReplicationSection = ReplicationSection()
    tables: TablesSection = TablesSection()
    checks: ChecksSection = ChecksSection()
    copy: CopySection = CopySection()
    sequences: SequencesSection = SequencesSection()
    cutover: CutoverSection = CutoverSection()
    fence: FenceSection = FenceSection()
    router: RouterSection = RouterSection()
    cleanup: CleanupSection = CleanupSection()
    state: StateSection = StateSection()


@dataclass(frozen=True)
class LoadedConfig:
    """A configuration and the file it came from."""

    path: Path
    config: Config

    @property
    def state_url(self) -> str:
        """Return the store's url, a relative SQLite path made absolute.

        It is relative to the file, so that every working directory arrives at the same store.
        """
        url = self.config.state.url
        prefix, relative, file = url.partition("sqlite:///")
        if prefix or not relative or not file or file.startswith(("/", ":memory:", "file:")):
            return url
        return f"{relative}{self.path.absolute().parent / file}"

    @property
    def directory(self) -> Path:
        """Return where the store's file is; where the store is on a server, where the configuration is."""
        here = self.path.absolute().parent
        file = self.state_url.removeprefix("sqlite:///")
        return (here / file).parent if file != self.state_url else here


def load(path: Path, migration: str | None = None) -> LoadedConfig:
    """Return the configuration in ``path``.

    ``migration``, when given, must be the name of the migration that the file holds. Raises
    ConfigError naming the file and every key that is not accepted.
    """
    config = understand(_read(path), path)
    if migration not in (None, config.migration.name):
        raise ConfigError(
            f"{path}: migration.name is {config.migration.name!r}, not {migration!r}; "
            "a file holds one migration",
            hint=f"migrator --migration {config.migration.name!r}, or --config another file",
            file=str(path),
        )
    return LoadedConfig(path, config)


def understand(root: dict[str, Any], path: Path) -> Config:
    """Return the configuration that TOML's ``root`` holds, which is or will be in ``path``.

    Raises ConfigError naming every key that is not accepted.
    """
    problems: list[str] = []
    config: Config = convert(root, Config, "", problems)
    if not problems:
        problems = list(_unusable(config))
    if problems:
        raise unaccepted(
            path, problems, f"edit {path}; `migrator --config NEW init` writes every key with its meaning"
        )
    return config


def unaccepted(path: Path, problems: list[str], hint: str) -> ConfigError:
    """Return the error that tells all problems of a file at once."""
    told = "\n".join(f"{path}: {problem}" for problem in problems)
    return ConfigError(told, hint=hint, file=str(path), problems=problems)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem, hint = "there is no such file", "migrator init"
    except OSError as error:
        problem, hint = f"cannot be read: {error.strerror}", ""
    except UnicodeDecodeError as error:
        problem, hint = f"is not UTF-8 at byte {error.start}", ""
    except tomllib.TOMLDecodeError as error:
        problem, hint = f"is not TOML: {error}", ""
    raise ConfigError(f"{path}: {problem}", hint=hint, file=str(path))


def _unusable(config: Config) -> Iterator[str]:
    """Yield what is wrong with values that are each of the right form."""
    for key, conninfo in (
        ("source.url", config.source.url),
        ("destination.url", config.destination.url),
        ("replication.source_conninfo", config.replication.source_conninfo),
        ("replication.destination_conninfo", config.replication.destination_conninfo),
    ):
        yield from unusable_url(key, conninfo)
    if config.source.url.strip() == config.destination.url.strip():
        yield (
            f"destination.url is {show(config.destination.url)}, the same as source.url; "
            "accepted is the url of another database"
        )
    if 0 < config.copy.split_above < SMALLEST_PIECE:
        yield (
            f"copy.split_above is {int(config.copy.split_above)} bytes; "
            'accepted is a size from "1MB", or "0B" for what suits the machine'
        )
    yield from unusable_fence(config.cutover.fence, config.fence)
    yield from unusable_router(config.cutover.router, config.router)
