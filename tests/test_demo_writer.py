"""The writer: it goes on whatever happens, and what it remembers is true."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from migrator.demo.proof import find_missing
from migrator.demo.transactions import create_ledger
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer


def test_every_acknowledged_commit_is_there(
    source_database: str, writer: Callable[..., Writer], tmp_path: Path
) -> None:
    create_ledger(source_database)
    journal = tmp_path / "journal"
    busy = writer(source_database, per_second=1000, journal=journal)
    busy.wait_for(200)
    busy.stop()
    assert find_missing(source_database, busy.acknowledged) == set()
    assert len(busy.acknowledged) == len(busy.commits) >= 200
    assert set(journal.read_text().split()) == {str(token) for token in busy.acknowledged}
    assert busy.report()["errors"] == {}
    with connect(source_database) as connection:
        counted = connection.execute("select count(*) from ledger").fetchone()
        assert counted == (len(busy.acknowledged),)


def test_a_lost_commit_is_found(source_database: str, writer: Callable[..., Writer]) -> None:
    create_ledger(source_database)
    busy = writer(source_database, per_second=1000)
    busy.wait_for(20)
    busy.stop()
    lost = busy.commits[7].token
    with connect(source_database) as connection:
        connection.execute("delete from ledger where token = %s", [lost])
    assert find_missing(source_database, busy.acknowledged) == {lost}


@pytest.mark.parametrize("interruption", ["stop", "kill", "restart"])
def test_the_writer_comes_back_after_its_server(
    source_cluster: EmbeddedServer,
    source_database: str,
    writer: Callable[..., Writer],
    interruption: str,
) -> None:
    create_ledger(source_database)
    busy = writer(source_database, per_second=1000)
    busy.wait_for(50)
    getattr(source_cluster, interruption)()
    source_cluster.start()
    busy.wait_for(50)
    busy.stop()
    assert find_missing(source_database, busy.acknowledged) == set()
    assert busy.errors
    assert busy.longest_pause > 0.01


def test_the_writer_follows_the_route_when_its_server_refuses_writes(
    source_database: str, destination_database: str, writer: Callable[..., Writer]
) -> None:
    create_ledger(source_database)
    create_ledger(destination_database)
    route = [source_database]
    busy = writer(lambda: route[0], per_second=1000)
    busy.wait_for(50)
    with connect(source_database) as connection:
        connection.execute(
            """
            do $$
            begin
                execute format(
                    'alter database %I set default_transaction_read_only = on', current_database()
                );
                perform pg_terminate_backend(pid)
                   from pg_stat_activity
                  where datname = current_database()
                    and pid <> pg_backend_pid();
            end $$
            """
        )
    route[0] = destination_database
    busy.wait_for(50)
    busy.stop()
    there = {commit.token for commit in busy.commits if commit.url == destination_database}
    here = busy.acknowledged - there
    assert here
    assert there
    assert find_missing(source_database, here) == set()
    assert find_missing(destination_database, there) == set()
    assert find_missing(destination_database, here) == here


def test_an_unexpected_failure_is_not_hidden(source_database: str, writer: Callable[..., Writer]) -> None:
    busy = writer(source_database)
    with pytest.raises(psycopg.errors.UndefinedTable):
        busy.wait_for(1)
    with pytest.raises(psycopg.errors.UndefinedTable):
        busy.stop()


def test_a_writer_that_waits_for_a_lock_can_be_stopped(
    source_database: str, writer: Callable[..., Writer]
) -> None:
    create_ledger(source_database)
    busy = writer(source_database, per_second=1000)
    busy.wait_for(10)
    with psycopg.connect(source_database) as connection:
        connection.execute("lock table ledger in share row exclusive mode")
        busy.stop(timeout=0.5)
        assert not busy.is_alive
