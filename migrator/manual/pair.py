"""The pair of databases that a context is about, by the old names of its variables; without passwords."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.conninfo import conninfo_of, parts_of, without_password

if TYPE_CHECKING:
    from migrator.config import LoadedConfig
    from migrator.manual.facts import Facts

NO_HOST = "local"


@dataclass(frozen=True)
class Pair:
    """What ``activate`` exports; ``publication`` and ``subscription`` are empty while nobody knows them."""

    source_cluster: str
    source_database: str
    source_host: str
    source_url: str
    publication: str
    destination_cluster: str
    destination_host: str
    destination_database: str
    destination_url: str
    subscription: str
    source_conninfo: str
    directory: str
    config: str

    @classmethod
    def of(cls, loaded: LoadedConfig, facts: Facts) -> Pair:
        """Derive the pair from the configuration and what was seen of the servers."""
        config = loaded.config
        path = loaded.path.resolve()
        source, destination = facts.source, facts.destination
        return cls(
            source_cluster=config.context.source_cluster
            or _named(config.migration.name, source.database)
            or cluster(source.host),
            source_database=source.database,
            source_host=source.host,
            source_url=without_password(config.source.url),
            publication=facts.names.publication if facts.names else "",
            destination_cluster=config.context.destination_cluster or cluster(destination.host),
            destination_host=destination.host,
            destination_database=destination.database,
            destination_url=without_password(config.destination.url),
            subscription=facts.names.subscription if facts.names else "",
            source_conninfo=without_password(
                config.replication.source_conninfo or facts.source_conninfo or stream_of(config.source.url)
            ),
            directory=str(path.parent),
            config=str(path),
        )

    @property
    def context(self) -> str:
        """Return the context's name, which every script asks for."""
        return f"{self.source_cluster}.{self.source_database}"

    @property
    def variables(self) -> dict[str, str]:
        """Return the environment of the context, in the order of the old ``activate``."""
        return {
            "SRCCLS": self.source_cluster,
            "SRCDB": self.source_database,
            "SRCIP": self.source_host,
            "SRCPG": self.source_url,
            "PUBNAME": self.publication,
            "DSTCLS": self.destination_cluster,
            "DSTIP": self.destination_host,
            "DSTDB": self.destination_database,
            "DSTPG": self.destination_url,
            "SUBNAME": self.subscription,
            "SUBCONN": self.source_conninfo,
            "DIRPATH": self.directory,
            "MIGRATION_CONTEXT": self.context,
            "MIGRATOR_CONFIG": self.config,
        }


def host(conninfo: str) -> str:
    """Return the first host that a conninfo names, or nothing."""
    parts = parts_of(conninfo)
    return (parts.get("host") or parts.get("hostaddr") or "").split(",")[0]


def cluster(host: str) -> str:
    """Return what a cluster is called that nobody named: its host."""
    return NO_HOST if not host or host.startswith("/") else host


def database(conninfo: str) -> str:
    """Return the database that a conninfo names, or nothing: a service file or PGDATABASE may name it."""
    return parts_of(conninfo).get("dbname", "")


def stream_of(conninfo: str) -> str:
    """Return how the destination is to reach the source, as far as the source's url says it."""
    parts = parts_of(conninfo)
    return conninfo_of({name: parts.get(name, "") for name in ("host", "port", "dbname", "user")})


def _named(migration: str, database: str) -> str:
    """Return the cluster in a migration's name such as ``CLUSTER.DATABASE``, or nothing."""
    cluster = migration.removesuffix(f".{database}")
    return cluster if database and cluster != migration else ""
