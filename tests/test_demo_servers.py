"""The embedded servers themselves."""

from __future__ import annotations

import itertools
import os
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.demo.binaries import find_binaries
from migrator.demo.servers import EmbeddedServer
from migrator.errors import ConfigError, ToolFailed
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

numbers = itertools.count(1)

AWKWARD = [
    'quo"ted',
    "it's",
    "dots.and spaces",
    "line\nbreak",
    "per%20cent/slash?query=1#x",
    "Ünï©ødé " + "é" * 20,
    "x" * 63,
]


def test_versions_are_those_asked_for(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    pytestconfig: pytest.Config,
) -> None:
    for server, option in (
        (source_cluster, "--source-major"),
        (destination_cluster, "--destination-major"),
    ):
        with connect(server.url("postgres")) as connection:
            assert connection.info.server_version // 10000 == pytestconfig.getoption(option)
        assert server.major == pytestconfig.getoption(option)


def test_no_server_of_that_version_is_a_clear_error() -> None:
    with pytest.raises(ConfigError) as caught:
        find_binaries(9)
    assert "PostgreSQL 9" in caught.value.message
    assert "migrator[demo]" in caught.value.hint


@pytest.mark.parametrize("name", AWKWARD)
def test_any_database_name_works(
    source_cluster: EmbeddedServer, new_database: Callable[..., str], name: str
) -> None:
    with connect(new_database(source_cluster, name)) as connection:
        assert connection.execute("select current_database()").fetchone() == (name,)
    assert source_cluster.is_running


@pytest.fixture
def own_server(
    cluster_directory: Path, source_cluster: EmbeddedServer
) -> Iterator[Callable[..., EmbeddedServer]]:
    """A factory of clusters of the test's own, initialized and started."""
    made: list[EmbeddedServer] = []

    def create(**options: Any) -> EmbeddedServer:
        directory = cluster_directory / f"own{next(numbers)}"
        settings = {"fsync": "off", "shared_buffers": "16MB"}
        server = EmbeddedServer(source_cluster.bin_dir, directory, settings=settings, **options)
        made.append(server)
        server.init()
        server.start()
        return server

    yield create
    for server in made:
        server.stop()


@pytest.fixture
def server(own_server: Callable[..., EmbeddedServer]) -> EmbeddedServer:
    return own_server()


def test_what_was_committed_survives_stop_restart_and_kill(server: EmbeddedServer) -> None:
    with connect(server.url("postgres")) as connection:
        connection.execute("create table t (n int)")
    port = server.port
    interruptions: list[Callable[[], None]] = [
        server.stop,
        server.kill,
        lambda: server.stop("immediate"),
    ]
    for n, interrupt in enumerate(interruptions):
        with connect(server.url("postgres")) as connection:
            connection.execute("insert into t values (%s)", [n])
            interrupt()
            assert not server.is_running
        with pytest.raises(psycopg.OperationalError):
            connect(server.url("postgres"))
        server.start()
    server.restart()
    assert server.port == port
    with connect(server.url("postgres")) as connection:
        assert connection.execute("select count(*) from t").fetchone() == (3,)


def test_a_failed_start_shows_the_log(server: EmbeddedServer) -> None:
    server.stop()
    server.configure({"shared_buffers": "many"})
    with pytest.raises(ToolFailed, match="shared_buffers"):
        server.start()
    assert not server.is_running


def test_another_port_is_taken_when_somebody_was_faster(
    source_cluster: EmbeddedServer, cluster_directory: Path
) -> None:
    other = EmbeddedServer(source_cluster.bin_dir, cluster_directory / f"own{next(numbers)}")
    other.port = source_cluster.port
    with other:
        assert other.port != source_cluster.port
        with connect(other.url("postgres")) as connection:
            assert connection.execute("show data_directory").fetchone() == (str(other.data),)


def test_a_server_has_a_session_of_its_own(server: EmbeddedServer) -> None:
    assert os.getsid(server.pid) == server.pid != os.getsid(0)
    os.kill(server.pid, signal.SIGINT)
    server.stop()
    assert not server.is_running


def test_a_password_is_asked_for(own_server: Callable[..., EmbeddedServer]) -> None:
    server = own_server(password="s3cr:et/@")
    with connect(server.url("postgres")) as connection:
        assert connection.info.dbname == "postgres"
    with pytest.raises(psycopg.OperationalError, match="password"):
        connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
