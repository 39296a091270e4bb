"""Open the state database: SQLite by default, PostgreSQL by URL.

Every statement of the store runs inside ``reading`` or ``writing``, which turn the database's
errors into one clear MigratorError. No message shows a password.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import (
    URL,
    ColumnElement,
    Connection,
    Engine,
    Table,
    create_engine,
    event,
    inspect,
    make_url,
    select,
)
from sqlalchemy.dialects import sqlite
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
)

from migrator.errors import ConfigError, MigratorError, UnknownMigration, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sqlalchemy.dialects import postgresql


BUSY_SECONDS = 10
NO_PRIVILEGE = "42501"
SECRETS = ("password", "passfile", "sslpassword", "sslkey")
URL_HINT = "[state] url is sqlite:///FILE or postgresql://USER@HOST/DATABASE"

Record = TypeVar("Record")


def resolve_url(url: str, base: Path) -> str:
    """Return ``url`` with a relative SQLite path made absolute, as seen from ``base``."""
    parsed = _parse(url)
    if parsed.get_backend_name() != "sqlite":
        return url
    path = base.absolute() / Path(str(parsed.database)).expanduser()
    return parsed.set(database=str(path)).render_as_string(hide_password=False)


def open_engine(url: str, *, create: bool) -> Engine:
    """Return an engine for the state store; nothing but a new file is written.

    With ``create`` a missing SQLite file is made, private to its owner; without, it raises
    UnknownMigration. Raises ConfigError for a url or a path that cannot be used.
    """
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        _require_file(Path(str(parsed.database)), create=create)
        engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS}, json_serializer=to_json)
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    options = {"connect_timeout": "10", "application_name": "migrator state store"}
    return create_engine(
        parsed.update_query_dict({**options, **parsed.query}),
        pool_pre_ping=True,
        json_serializer=to_json,
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Run statements that only read, in one transaction that takes no lock."""
    with translated(engine), engine.execution_options(read_only=True).begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Run statements in one transaction, committed at the end or not at all."""
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """Raise the database's refusals as ours; a violated constraint stays what it is."""
    try:
        yield
    except (DataError, IntegrityError, NotSupportedError):
        raise
    except ProgrammingError as error:
        # Before any statement: an option of the URL that libpq does not know.
        if error.statement is not None and getattr(error.orig, "sqlstate", "") != NO_PRIVILEGE:
            raise
        raise _unusable(engine.url, error) from None
    except DatabaseError as error:
        raise _unusable(engine.url, error) from None


def exists(engine: Engine) -> bool:
    """Return whether the database holds a state store of any version."""
    with reading(engine) as connection:
        return inspect(connection).has_table("alembic_version")


def require_store(engine: Engine) -> None:
    """Raise UnknownMigration when the database holds no state store."""
    if not exists(engine):
        raise no_store(engine.url)


def no_store(url: URL) -> UnknownMigration:
    """Return the refusal for a place where nothing was ever planned."""
    return UnknownMigration(
        f"nothing is planned yet: there is no state store at {shown(url)}", hint="migrator plan"
    )


def shown(url: URL) -> str:
    """Return the store's place for people: the file, or the URL without anything secret."""
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.difference_update_query(SECRETS).render_as_string(hide_password=True)


def to_json(value: Any) -> str:
    """Return JSON; what JSON does not know (times, decimals, LSNs) is written as its text."""
    return json.dumps(value, default=str)


def upsert(connection: Connection, table: Table) -> postgresql.Insert | sqlite.Insert:
    """Return an INSERT that can say ON CONFLICT, in the words of the connection's database."""
    if connection.dialect.name == "sqlite":
        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # saves the default store 20 ms at start-up

    return postgresql.insert(table)


def fetch(
    connection: Connection,
    record: type[Record],
    table: Table,
    *where: ColumnElement[bool],
    newest: int | None = None,
) -> list[Record]:
    """Return the rows as ``record`` values, oldest first; ``newest`` limits them to the last ones.

    The record's fields are the columns that are read.
    """
    columns = [table.c[field.name] for field in fields(record)]  # type: ignore[arg-type]
    order: Iterable[ColumnElement[Any]] = table.primary_key
    if newest is not None:
        order = [column.desc() for column in order]
    statement = select(*columns).where(*where).order_by(*order).limit(newest)
    rows = [record(**row) for row in connection.execute(statement).mappings()]
    return rows if newest is None else rows[::-1]


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        # The text is not repeated: it may hold a password in a place that nobody can tell.
        raise ConfigError("[state] url is not a database URL", hint=URL_HINT) from None
    backend = parsed.get_backend_name()
    if backend in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite":
        raise ConfigError(f"[state] url: {backend} is not supported", hint=URL_HINT)
    if parsed.database in (None, "", ":memory:"):
        raise ConfigError("[state] url: the state store must be a file", hint=URL_HINT)
    return parsed.set(drivername="sqlite+pysqlite")


def _require_file(path: Path, *, create: bool) -> None:
    """Find or make the file; SQLite gives its -wal and -shm files the same mode."""
    try:
        if path.exists():
            return
        if not create:
            raise no_store(URL.create("sqlite", database=str(path)))
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    except OSError as error:
        raise ConfigError(
            f"the state store {path} cannot be used: {error.filename}: {error.strerror}",
            hint=URL_HINT,
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a new connection; sqlite3 itself must never begin a transaction behind our back."""
    connection.isolation_level = None
    _enter_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")


def _enter_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL; two first connections can collide here, and SQLite does not wait for them."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """Begin; a writer takes the lock at once, because an upgrade from reading cannot wait."""
    read_only = connection.get_execution_options().get("read_only", False)
    connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")


def _unusable(url: URL, error: DatabaseError) -> MigratorError:
    reason = " ".join(str(error.orig).split())
    message = f"the state store {shown(url)} cannot be used: {reason}"
    bad_option = isinstance(error, ProgrammingError) and error.statement is None
    if url.get_backend_name() == "sqlite" or bad_option:
        return ConfigError(message, hint=URL_HINT)
    return Unreachable(message, hint=URL_HINT)
