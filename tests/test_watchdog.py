"""Clients that a router holds back go on when migrator dies, and nobody has to come for that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from migrator.demo.proof import find_missing
from migrator.demo.transactions import create_ledger
from migrator.watchdog import Watchdog
from tests.fixtures import small
from tests.fixtures.project import clean_environment
from tests.test_routers import pooled

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.writer import Writer
    from tests.fixtures.daemons import Pgbouncer
    from tests.fixtures.project import Project

# The command line, which dies by kill -9 when the fence is up and before it is committed.
DIES_AT_THE_FENCE = """
import os, runpy, signal, sys
from migrator.switchover import drain
drain.beat = lambda ctx: os.kill(os.getpid(), signal.SIGKILL)
runpy.run_module("migrator", run_name="__main__", alter_sys=True)
"""
RESUME = 'RESUME "shop"'
# Holds a pgbouncer like migrator does, and ends as told.
HOLDS = """
import os, signal, sys
from migrator.watchdog import Watchdog
dog = Watchdog()
assert dog.start([sys.argv[1]], 'RESUME "shop"', "test")
print("watched", flush=True)
sys.stdin.read(1)
"""


def test_clients_go_on_when_migrator_is_killed_at_the_fence(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    pgbouncers: Callable[..., Pgbouncer],
    writer: Callable[..., Writer],
) -> None:
    create_ledger(source_database)
    one = pgbouncers(source_database, settings="server_login_retry = 1")
    options = {"admin_urls": [one.admin_url()], "config_file": str(one.ini), "database": "shop"}
    made = project(
        source_database,
        destination_database,
        cutover={"router": "pgbouncer", "max_pause": "5s"},
        router={"pgbouncer": options},
    )
    made.run("plan", "--yes")
    made.run("--yes", "advance", "--to", "seq_synced")
    client = writer(one.url, pooled)
    client.wait_for(20)
    began = time.monotonic()
    killed = subprocess.run(
        [sys.executable, "-c", DIES_AT_THE_FENCE, "--config", str(made.path), "--yes", "advance"],
        capture_output=True,
        cwd=made.directory,
        env=clean_environment(),
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    client.wait_for(20, timeout=10)
    assert client.longest_pause_since(began) < 5
    assert not one.is_paused
    assert not client.errors
    made.run("--yes", "advance")
    client.wait_for(20)
    client.stop()
    assert find_missing(destination_database, client.acknowledged) == set()


@pytest.mark.parametrize("how", ["killed", "dismissed"])
def test_a_pgbouncer_is_let_go_by_the_watchdog_of_who_is_killed_and_by_no_other(
    how: str, source_database: str, pgbouncers: Callable[..., Pgbouncer]
) -> None:
    one = pgbouncers(source_database)
    if how == "dismissed":
        with Watchdog() as dog:
            assert dog.start([one.admin_url()], RESUME, "test")
            one.console("PAUSE shop")
        assert one.is_paused
        return
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, one.admin_url()], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    with holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"watched\n"
        assert secrets_shown(holder.pid) == []
        one.console("PAUSE shop")
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    small.wait_until(lambda: not one.is_paused, "the watchdog to let go")


def secrets_shown(parent: int) -> list[str]:
    """Return the command lines of a process's children that show the console's password."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    assert children
    lines = [Path(f"/proc/{child}/cmdline").read_text() for child in children]
    return [line for line in lines if "secret" in line]


def test_a_watchdog_that_reaches_no_console_is_told_of(tmp_path: Path) -> None:
    with Watchdog() as dog:
        assert not dog.start([f"postgresql://nobody@127.0.0.1:1/{tmp_path.name}"], RESUME, "test")
