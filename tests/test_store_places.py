"""Where a store can be, and how a place that cannot be used is refused."""

from __future__ import annotations

import os
import sqlite3
import stat
import traceback
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from sqlalchemy import make_url

from migrator.errors import ConfigError, MigratorError, UnknownMigration, Unreachable
from migrator.store.database import open_engine, reading, resolve_url, shown
from migrator.store.journal import Journal
from tests.test_store_fixtures import plan

pytest_plugins = ["tests.test_store_fixtures"]


def test_a_store_that_was_never_made_is_not_made_by_looking(store_url: str) -> None:
    for _ in range(2):
        with pytest.raises(UnknownMigration, match="no state store") as caught:
            Journal.open(store_url)
        assert caught.value.hint == "migrator plan"
    if store_url.startswith("sqlite"):
        assert not Path(urlsplit(store_url).path).exists()


def test_an_empty_file_is_not_a_store_until_something_is_planned(tmp_path: Path) -> None:
    (tmp_path / "state.db").touch()
    with pytest.raises(UnknownMigration):
        Journal.open(f"sqlite:///{tmp_path}/state.db")
    Journal.open(f"sqlite:///{tmp_path}/state.db", create=True).close()


def test_a_file_is_private_to_its_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with Journal.open(f"sqlite:///{tmp_path}/.migrator/state.db", create=True) as journal:
            plan(journal)
            found = {
                file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / ".migrator").iterdir()
            }
    finally:
        os.umask(before)
    assert found == dict.fromkeys(("state.db", "state.db-wal", "state.db-shm"), 0o600)
    assert stat.S_IMODE((tmp_path / ".migrator").stat().st_mode) == 0o700


def test_every_connection_is_durable_and_checks_references(tmp_path: Path) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/state.db", create=True)
    with reading(engine) as one, reading(engine) as other:
        for connection in (one, other):
            values = [
                connection.exec_driver_sql(f"PRAGMA {name}").scalar()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            ]
            assert values == ["wal", 2, 1, 10_000]
    engine.dispose()


def test_a_reader_is_not_held_up_by_a_writer(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/state.db"
    with Journal.open(url, create=True) as journal:
        plan(journal)
        writer = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        assert journal.names() == ["m"]
        writer.close()


@pytest.mark.parametrize(
    ("path", "content", "says"),
    [
        ("state.db", b"this is not a database, only some text " * 100, "not a database"),
        ("file/state.db", None, "File exists"),
        ("", None, "unable to open"),
        ("/proc/none/state.db", None, "No such file"),
    ],
)
def test_a_file_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, path: str, content: bytes | None, says: str
) -> None:
    (tmp_path / "file").touch()
    if content:
        (tmp_path / path).write_bytes(content)
    with pytest.raises(ConfigError, match=says) as caught:
        Journal.open(f"sqlite:///{tmp_path / path}", create=True)
    assert str(tmp_path / path) in caught.value.message
    assert caught.value.exit_code == 2


def test_a_file_that_breaks_later_is_one_clear_error(tmp_path: Path) -> None:
    file = tmp_path / "state.db"
    with Journal.open(f"sqlite:///{file}", create=True) as journal:
        plan(journal)
    with file.open("r+b") as damaged:
        damaged.seek(4096)
        damaged.write(b"\xff" * (file.stat().st_size - 4096))
    with (
        pytest.raises(ConfigError, match="malformed"),
        Journal.open(f"sqlite:///{file}") as journal,
    ):
        journal.load("m")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://anna:geheim@127.0.0.1:1/state",
        "postgres://anna@127.0.0.1:1/state?password=geheim",
        "postgresql+psycopg2://127.0.0.1:1/state?user=anna&password=geheim&sslpassword=geheim",
        "postgresql://anna:geheim@127.0.0.1:1/state?nonsense=1",
        "mysql://anna:geheim@127.0.0.1:1/state",
        "postgresql//anna:geheim@127.0.0.1/state",
        "postgresql://anna:geheim@127.0.0.1:port/state",
    ],
)
def test_a_password_is_never_shown(url: str) -> None:
    with pytest.raises(MigratorError) as caught:
        Journal.open(url)
    assert "geheim" not in str(caught.value.as_dict())
    assert "geheim" not in "".join(traceback.format_exception(caught.value))
    assert isinstance(caught.value, Unreachable | ConfigError)


def test_a_refused_password_is_not_shown(store_url: str) -> None:
    if store_url.startswith("sqlite"):
        return
    parts = urlsplit(store_url)
    url = f"postgresql://nobody_of_that_name:geheim@{parts.hostname}:{parts.port}/no_database"
    with pytest.raises(Unreachable) as caught:
        Journal.open(url)
    assert "geheim" not in str(caught.value.as_dict())
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:"])
def test_a_store_in_memory_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="must be a file"):
        resolve_url(url, Path("/etc"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:///.migrator/state.db", "/etc/m 100%/.migrator/state.db"),
        ("sqlite:////var/lib/state.db", "/var/lib/state.db"),
        ("sqlite:///~/state.db", f"{Path.home()}/state.db"),
    ],
)
def test_a_relative_path_is_seen_from_the_configuration(url: str, place: str) -> None:
    resolved = resolve_url(url, Path("/etc/m 100%"))
    assert resolve_url(resolved, Path("/elsewhere")) == resolved
    assert shown(make_url(resolved)) == place


def test_a_server_is_left_as_it_was_given() -> None:
    url = "postgresql://anna:geheim@db/state?service=x"
    assert resolve_url(url, Path("/etc")) == url
