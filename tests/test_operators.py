"""Two operators at one migration: one works, the other is told who does, and takes over from the dead."""

from __future__ import annotations

import getpass
import json
import re
import signal
import socket
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.fixtures import small
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.project import Project

# The creation of the slot waits for every open transaction that has written.
SLOT_WAITS = """
select count(*)
  from pg_stat_activity
 where datname = current_database()
   and application_name ~ '^migrator/'
   and query ~ '^CREATE_REPLICATION_SLOT'
"""


class Pair:
    """A migration whose ``advance`` hangs, because a transaction stays open on its source."""

    def __init__(self, project: Project, source: str, destination: str, store: str | None) -> None:
        self.project = project
        self.source, self.destination, self.store = source, destination, store

    def start_first(self) -> subprocess.Popen[str]:
        """Start ``advance`` and wait until it hangs."""
        first = self.project.start("--yes", "advance", "--to", "replicating")
        with connect(self.source) as connection:
            small.wait_until(lambda: connection.execute(SLOT_WAITS).fetchone()[0], "the slot's creation")
        return first

    def everything(self) -> dict[str, Any]:
        """Return all that a refused command must not change, the lease included."""
        found = {"source": small.fingerprint(self.source), "destination": small.fingerprint(self.destination)}
        # The first one gives way and tries again: its slot comes and goes.
        found["source"].pop("slot")
        if self.store is None:
            return found | small.store_rows(self.project)
        with connect(self.store) as connection:
            for table in small.STORE_TABLES:
                found[table] = connection.execute(f"select * from {table} order by 1").fetchall()
        return found


@pytest.fixture(params=["sqlite", "postgresql"])
def pair(
    request: pytest.FixtureRequest,
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
) -> Pair:
    small.load(source_database, rows=100)
    store = new_database(destination_cluster) if request.param == "postgresql" else None
    made = project(
        source_database,
        destination_database,
        copy={"lock_timeout": "500ms", "lock_attempts": 200},
        **({"state": {"url": store}} if store else {}),
    )
    made.run("plan", "--yes")
    return Pair(made, source_database, destination_database, store)


@pytest.fixture
def open_transaction(pair: Pair) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(pair.source, application_name="month end") as connection:
        connection.execute("insert into ledger (token) values (md5(random()::text)::uuid)")
        yield connection
        connection.rollback()


def test_the_second_operator_is_told_who_works_and_since_when_and_writes_nothing(
    pair: Pair, open_transaction: psycopg.Connection[Any]
) -> None:
    first = pair.start_first()
    before = pair.everything()
    for command in (("advance",), ("rollback-to", "planned")):
        refused = pair.project.run("--json", "--yes", *command, check=False)
        assert refused.returncode == 3, refused.stdout
        assert pair.everything() == before
        assert_names_the_first(json.loads(refused.stdout), first, before["lease"])
    assert first.poll() is None
    open_transaction.rollback()
    assert first.wait(30) == 0


def assert_names_the_first(error: dict[str, Any], first: subprocess.Popen[str], leases: list[Any]) -> None:
    (lease,) = leases
    assert error["error"] == "LeaseHeld"
    assert error["exit_code"] == 3
    assert error["pid"] == first.pid
    assert error["host"] == socket.gethostname()
    assert error["operator"] == getpass.getuser()
    assert error["since"][:19].replace("T", " ") in error["message"]
    assert error["since"][:19] in {str(value).replace(" ", "T")[:19] for value in lease}
    for said in (
        f"{getpass.getuser()}@{socket.gethostname()}",
        f"pid {first.pid}",
        "advance --to replicating",
    ):
        assert said in error["message"]


def test_after_the_first_is_killed_the_second_proceeds_at_once(
    pair: Pair, open_transaction: psycopg.Connection[Any]
) -> None:
    first = pair.start_first()
    first.send_signal(signal.SIGKILL)
    first.wait()
    second = pair.start_first()
    who = re.compile(rf"{re.escape(getpass.getuser())}@.* pid {second.pid} ")
    small.wait_until(lambda: who.match(pair.project.json("status")["holder"]), "the second to hold the lease")
    open_transaction.rollback()
    assert second.wait(30) == 0, second.communicate()
    assert pair.project.json("status")["state"] == "replicating"
    assert pair.everything()["lease"] == []


def test_those_who_only_look_disturb_nobody_and_are_not_taken_for_orphans(
    pair: Pair, open_transaction: psycopg.Connection[Any]
) -> None:
    watcher = pair.project.start("--json", "progress", "--watch", "0.1")
    assert watcher.stdout is not None
    watcher.stdout.readline()
    first = pair.start_first()
    status = pair.project.json("status")
    assert status["state"] == "schema_copied"
    assert f"pid {first.pid}" in status["holder"]
    assert pair.project.json("progress")["tables_total"] == 7
    running = [a for a in pair.project.json("history")["attempts"] if a["outcome"] == "running"]
    assert [(a["step"], a["pid"]) for a in running] == [("copy_tables", first.pid)]
    first.kill()
    first.wait()
    # The one that takes over ends what the killed one left, and nobody else.
    second = pair.start_first()
    open_transaction.rollback()
    assert second.wait(30) == 0, second.communicate()
    while json.loads(watcher.stdout.readline())["state"] != "replicating":
        pass
    assert watcher.poll() is None
