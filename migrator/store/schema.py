"""Bring the state store to the revision that this migrator works with."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, contextmanager
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Engine, inspect, text

from migrator import __version__
from migrator.errors import ConfigError, StoreTooNew
from migrator.store.database import reading, shown, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.config import Config

# The newest file in migrations_state/versions. Written down, so that an up-to-date store is
# recognised without importing Alembic, which would cost every command a tenth of a second.
HEAD = "0004"

UPGRADE_LOCK = 0x6D696772  # any number that every migrator agrees on


def upgrade(engine: Engine) -> None:
    """Upgrade the store to HEAD, or do nothing when it is there.

    Two upgrades at once wait for each other. An older SQLite file is first copied aside as
    ``state.db.before-<revision>``. Raises StoreTooNew for a revision that this migrator does not
    know; the store is then untouched.
    """
    with reading(engine) as connection:
        if _revision(connection) == HEAD:
            return
    with translated(engine), exclusive(engine) as connection:
        revision = _revision(connection)
        if revision != HEAD:
            _run_scripts(connection, revision)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


@contextmanager
def exclusive(engine: Engine) -> Iterator[Connection]:
    """Open the one transaction in which a store is upgraded, as a whole or not at all."""
    with engine.connect() as connection:
        if engine.dialect.name != "sqlite":
            with connection.begin():
                connection.execute(text("SELECT pg_advisory_xact_lock(:k)"), {"k": UPGRADE_LOCK})
                yield connection
            return
        # Rebuilding a table drops the old one, and that must not cascade. SQLite only listens to
        # this outside a transaction.
        driver = connection.connection.driver_connection
        if not isinstance(driver, sqlite3.Connection):
            raise TypeError(f"not a sqlite3 connection: {driver!r}")
        driver.execute("PRAGMA foreign_keys=OFF")
        try:
            with connection.begin():
                yield connection
        finally:
            driver.execute("PRAGMA foreign_keys=ON")


def _run_scripts(connection: Connection, revision: str | None) -> None:
    from alembic import command
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    with alembic_config(connection) as config:
        if revision is not None:
            try:
                ScriptDirectory.from_config(config).get_revision(revision)
            except CommandError:
                raise _too_new(connection.engine, revision) from None
            _copy_aside(connection.engine)
        command.upgrade(config, "head")


@contextmanager
def alembic_config(connection: Connection) -> Iterator[Config]:
    """Give Alembic's configuration for scripts that run on this connection, in its transaction."""
    from alembic.config import Config

    with as_file(files("migrations_state")) as scripts:
        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        config.attributes["connection"] = connection
        yield config


def _copy_aside(engine: Engine) -> None:
    """Copy a SQLite store as it was committed; the caller's transaction keeps writers away."""
    if engine.dialect.name != "sqlite":
        return
    path = Path(str(engine.url.database))
    target = path.with_name(f"{path.name}.before-{HEAD}")
    try:
        os.close(os.open(target, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(f"the state store cannot be copied to {target}: {error.strerror}") from None
    with closing(sqlite3.connect(path)) as old, closing(sqlite3.connect(target)) as copy:
        old.backup(copy)


def _too_new(engine: Engine, revision: str) -> StoreTooNew:
    return StoreTooNew(
        f"the state store {shown(engine.url)} is at revision {revision}; migrator {__version__} "
        f"knows revisions up to {HEAD}",
        hint="upgrade migrator",
        revision=revision,
        known=HEAD,
    )
