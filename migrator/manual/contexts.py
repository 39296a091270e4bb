"""Begin a context: its directory with a filled ``migrator.toml`` and everything that is rendered from it."""

from __future__ import annotations

import shlex
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.config import DEFAULT_FILE, LoadedConfig, understand
from migrator.config_convert import convert
from migrator.config_router import unusable_url
from migrator.config_template import fill
from migrator.config_values import Cluster, Url
from migrator.errors import ConfigError
from migrator.manual import pair
from migrator.manual.facts import gather
from migrator.manual.files import PRIVATE, File, create, refuse_existing
from migrator.manual.render import files, require_packages
from migrator.manual.scripts import ACTIVATE

if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_DIRECTORY = "~/migration"


@dataclass(frozen=True)
class NewContext:
    """What a context is made of. The clusters and the source's database are fit for a directory's name."""

    parent: str
    source_cluster: str
    source_database: str
    source_url: str
    destination_cluster: str
    destination_url: str
    source_conninfo: str = ""

    @property
    def name(self) -> str:
        """Return the name of the migration and of its directory."""
        return f"{self.source_cluster}.{self.source_database}"

    @property
    def directory(self) -> Path:
        """Return where it is to be."""
        return (Path(self.parent).expanduser() / self.name).resolve()


@dataclass(frozen=True)
class Begun:
    """What was made, and what could not be found out of the servers meanwhile."""

    directory: Path
    files: tuple[str, ...]
    unknown: tuple[str, ...]

    @property
    def next(self) -> str:
        """Return what to type next."""
        return f". {shlex.quote(str(self.directory / ACTIVATE))}"


def from_urls(
    source: str,
    destination: str,
    source_cluster: str = "",
    destination_cluster: str = "",
    parent: str = DEFAULT_DIRECTORY,
) -> NewContext:
    """Return the context of two urls; a cluster without a name has that of its host.

    Raises ConfigError naming every option that cannot be used.
    """
    problems: list[str] = []
    for name, given in (("--source-cluster", source_cluster), ("--destination-cluster", destination_cluster)):
        convert(given, Cluster, name, problems)
    for name, url in (("--source", source), ("--destination", destination)):
        if convert(url, Url, name, problems) is not None:
            problems += unusable_url(name, url)
    if not problems:
        problems += _nameless(source, source_cluster)
    if problems:
        raise ConfigError("\n".join(problems), hint="migrator init --help", problems=problems)
    return NewContext(
        parent,
        source_cluster or pair.cluster(pair.host(source)),
        pair.database(source),
        source,
        destination_cluster or pair.cluster(pair.host(destination)),
        destination,
    )


def begin(new: NewContext) -> Begun:
    """Look at both servers, as far as they can be reached, and make the directory.

    Raises Refused when it is there, ConfigError when it cannot be made or a value is not accepted.
    """
    directory = new.directory
    if ":" in str(directory):
        raise ConfigError(f"{directory} holds a colon, which parts the PATH; accepted is one without")
    refuse_existing(directory)
    require_packages()
    text = fill(
        {
            "migration.name": new.name,
            "context.source_cluster": new.source_cluster,
            "context.destination_cluster": new.destination_cluster,
            "source.url": new.source_url,
            "destination.url": new.destination_url,
            "replication.source_conninfo": new.source_conninfo,
        }
    )
    path = directory / DEFAULT_FILE
    loaded = LoadedConfig(path, understand(tomllib.loads(text), path))
    facts = gather(loaded)
    made = [File(DEFAULT_FILE, text, PRIVATE), *files(loaded, facts)]
    create(directory, made)
    return Begun(directory, tuple(file.name for file in made), facts.unknown)


def _nameless(source: str, cluster: str) -> Iterator[str]:
    """Yield why no directory can be called as the source's url says."""
    database = pair.database(source)
    if not database:
        yield "--source names no database; accepted is a url with one, postgresql://user@host:port/database"
    for what, name, instead in (
        ("host", "" if cluster else pair.cluster(pair.host(source)), "give --source-cluster NAME"),
        ("database", database, "migrator init, and edit migrator.toml"),
    ):
        problems: list[str] = []
        convert(name, Cluster, f"the {what} of --source", problems)
        yield from (f"{problem}, as a part of the directory's name; {instead}" for problem in problems)
