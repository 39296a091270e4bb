"""A migration goes on with the two servers it was planned with, and with no others."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from migrator.demo.host import free_port
from migrator.demo.servers import EmbeddedServer
from tests.fixtures import small
from tests.fixtures.servers import TEST_SETTINGS, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.project import Project


@pytest.fixture(scope="module")
def another_cluster(source_cluster: EmbeddedServer, cluster_directory: Path) -> Iterator[EmbeddedServer]:
    """A server of this module's own, which may be swapped, failed over and shut out."""
    directory = cluster_directory / "another"
    with EmbeddedServer(
        source_cluster.bin_dir, directory, settings=TEST_SETTINGS, password="right"
    ) as server:
        yield server
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def another_database(another_cluster: EmbeddedServer, new_database: Callable[..., str]) -> str:
    return new_database(another_cluster)


def change_url(project: Project, old: str, new: str) -> None:
    """Edit ``migrator.toml`` as an operator would."""
    text = project.path.read_text(encoding="utf-8")
    assert old in text
    project.path.write_text(text.replace(old, new), encoding="utf-8")


def refused(project: Project, *words: str) -> Any:
    """Run a command that must be refused, and return its error."""
    done = project.run("--json", "--yes", *words, check=False)
    error = json.loads(done.stdout)
    assert done.returncode == error["exit_code"], error
    return error


@pytest.mark.parametrize("side", ["source", "destination"])
def test_a_server_that_was_swapped_for_another_cluster_is_refused(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    another_cluster: EmbeddedServer,
    new_database: Callable[..., str],
    side: str,
) -> None:
    small.load(source_database, rows=100)
    made = project(source_database, destination_database)
    made.run("plan", "--yes")
    made.run("advance", "--yes")
    url = {"source": source_database, "destination": destination_database}[side]
    # The database has the same name there: only the cluster tells them apart.
    other = new_database(another_cluster, urlsplit(url).path[1:])
    change_url(made, url, other)
    before = [small.fingerprint(u) for u in (source_database, destination_database, other)]
    rows = small.store_rows(made)
    for command in (("advance",), ("rollback-to", "planned"), ("advance", "--to", "cleaned")):
        error = refused(made, *command)
        assert (error["error"], error["exit_code"]) == ("WrongServer", 3)
        assert (error["side"], error["what"]) == (side, "system identifier")
        assert error["now"] != error["pinned"]
    assert small.store_rows(made) == rows
    assert [small.fingerprint(u) for u in (source_database, destination_database, other)] == before
    assert any("not the server" in warning for warning in made.json("status")["warnings"])
    change_url(made, other, url)
    made.run("advance", "--yes")


def test_a_source_that_failed_over_is_refused(
    project: Callable[..., Project],
    another_cluster: EmbeddedServer,
    another_database: str,
    destination_database: str,
) -> None:
    small.load(another_database, rows=100)
    made = project(another_database, destination_database)
    made.run("plan", "--yes")
    made.run("advance", "--to", "replicating", "--yes")
    fail_over(another_cluster)
    before = [small.fingerprint(u, ours=False) for u in (another_database, destination_database)]
    rows = small.store_rows(made)
    for command in (("advance",), ("advance", "--to", "cutover")):
        error = refused(made, *command)
        assert (error["error"], error["exit_code"]) == ("WrongServer", 3)
        assert (error["side"], error["what"]) == ("source", "timeline")
        assert (error["now"], error["pinned"]) == ("2", "1")
    assert small.store_rows(made) == rows
    after = [small.fingerprint(u, ours=False) for u in (another_database, destination_database)]
    assert after == before
    # The way that the hint names is open.
    assert "rollback-to planned" in error["hint"]
    made.run("rollback-to", "planned", "--yes")
    made.run("plan", "--yes")
    made.run("advance", "--to", "replicating", "--yes")


def fail_over(server: EmbeddedServer) -> None:
    """Begin a new timeline, as a promoted standby does."""
    server.stop()
    signal_file = server.data / "recovery.signal"
    signal_file.touch()
    shutil.chown(signal_file, server.data.stat().st_uid, server.data.stat().st_gid)
    server.configure({"restore_command": "false"})
    server.start()
    with connect(server.url("postgres")) as connection:
        small.wait_until(
            lambda: connection.execute("select not pg_is_in_recovery()").fetchone()[0], "the promotion"
        )
        timeline = "select timeline_id from pg_control_checkpoint()"
        connection.execute("checkpoint")
        assert connection.execute(timeline).fetchone() == (2,)


def test_a_server_that_nobody_answers_at_is_told_in_one_line(
    project: Callable[..., Project], source_database: str, destination_database: str
) -> None:
    small.load(source_database, rows=100)
    made = project(source_database, destination_database)
    made.run("plan", "--yes")
    port = free_port()
    gone = destination_database.replace(f":{urlsplit(destination_database).port}/", f":{port}/")
    change_url(made, destination_database, gone)
    rows = small.store_rows(made)
    for command in (("plan",), ("advance",), ("rollback-to", "planned")):
        started = time.monotonic()
        done = made.run("--yes", *command, check=False)
        assert done.returncode == 6, done.stderr
        assert time.monotonic() - started < 15
        (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
        assert f"the destination (127.0.0.1:{port}/" in error
        assert "refused" in error
        assert "Traceback" not in done.stderr
        assert small.store_rows(made) == rows
    status = made.json("status")
    assert status["state"] == "planned"
    assert status["destination"]["error"]


def test_a_server_that_does_not_answer_is_given_up_in_time(
    project: Callable[..., Project], source_database: str, tmp_path: Path
) -> None:
    # Nobody is at this address (RFC 5737), and nobody says so.
    made = project(source_database, "postgresql://postgres@192.0.2.1:5432/x?connect_timeout=2")
    started = time.monotonic()
    error = refused(made, "plan")
    assert (error["error"], error["exit_code"]) == ("Unreachable", 6)
    assert time.monotonic() - started < 10


def test_a_wrong_password_is_told_as_such(
    project: Callable[..., Project],
    source_database: str,
    another_cluster: EmbeddedServer,
    another_database: str,
) -> None:
    wrong = another_database.replace(":right@", ":wr0ng-passw0rd@")
    assert wrong != another_database
    made = project(source_database, wrong)
    done = made.run("plan", "--yes", check=False)
    assert done.returncode == 6
    (error,) = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert "password authentication failed" in error
    assert "wr0ng" not in done.stderr + done.stdout


def test_two_databases_of_one_cluster_are_blocked(
    project: Callable[..., Project],
    source_cluster: EmbeddedServer,
    source_database: str,
    new_database: Callable[..., str],
) -> None:
    small.load(source_database, rows=100)
    made = project(source_database, new_database(source_cluster))
    error = refused(made, "plan")
    assert (error["error"], error["exit_code"]) == ("ChecksBlocked", 4)
    (finding,) = [f for f in error["findings"] if f["severity"] == "block"]
    assert finding["check"] == "different_clusters"
    assert "same cluster" in finding["message"]
    assert not (made.directory / ".migrator").exists()
