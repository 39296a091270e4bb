"""Around the cutover: who writes to the wrong side is told and counted, what is given up is asked for."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from migrator.errors import Declined
from migrator.switchover import procedure
from tests.fixtures import small
from tests.fixtures.road import before
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

WRITE = "set default_transaction_read_only = off; insert into products (title, price) values ('late', 1)"


def test_a_late_write_is_told_where_the_database_went_and_counted(
    road: Roads, source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer
) -> None:
    moved = road("seq_synced")
    grants = "grant all on products, products_id_seq to late_writer"
    ensure_roles([source_cluster, destination_cluster], "late_writer")
    moved.on_source(grants)
    moved.on_destination(f"set default_transaction_read_only = off; {grants}")
    moved.advance("cutover")
    assert moved.app.status().refused_writes == 0
    for number in range(1, 4):
        with connect(moved.source) as connection:
            connection.execute("set role late_writer")
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction) as refused:
                connection.execute(WRITE)
        assert "has moved to" in (refused.value.diag.message_hint or "")
        assert moved.app.status().refused_writes == number
    (schema,) = moved.on_source("select nspname from pg_namespace where nspname ~ '^migrator_'")[0]
    with connect(moved.source) as connection:
        connection.execute("set role late_writer")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(f"select nextval('{schema}.refused')".encode())
    moved.rollback("seq_synced")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        moved.on_destination(WRITE)
    assert moved.app.status().refused_writes == 1
    moved.on_source(WRITE)
    moved.advance("cutover")
    assert moved.app.status().refused_writes == 0


def test_a_way_back_that_is_there_is_given_up_only_when_asked(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("cutover")
    asked: list[str] = []

    def refuse(question: str) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr(moved.app, "confirm", refuse)
    moved.refuse(Declined, Declined.exit_code)
    assert asked == ["The way back is available. Give it up for good?"]
    assert moved.app.status().way_back == "available"
    monkeypatch.undo()
    moved.rollback("seq_synced")
    moved.complete()


def test_a_cutover_without_a_rehearsal_is_warned_of_and_goes_on(road: Roads) -> None:
    moved = road("seq_synced")

    def found() -> dict[str, Any]:
        return {f.check: (f.severity, f.message) for f in moved.app.preview_advance(None).findings}

    assert found()["rehearsal"] == ("warn", "the cutover was never rehearsed")
    moved.app.rehearse()
    assert "rehearsal" not in found()
    (schema,) = moved.on_source("select nspname from pg_namespace where nspname ~ '^migrator_'")[0]
    moved.on_source(f"update {schema}.journal set at = at - interval '25 hours' where event = 'rehearsal'")
    assert found()["rehearsal"][1].startswith("the last rehearsal was 1 day, 1:00:0")
    moved.advance("cutover")
    moved.rollback("seq_synced")
    assert found()["last_comparison"][0] == "info"
    assert "equal at LSN" in found()["last_comparison"][1]


@pytest.mark.parametrize("fence", ["lock", "read_only"])
def test_a_session_that_was_starting_as_the_writes_went_away_is_ended(
    fence: str, road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"fence": fence, "max_pause": "10s"})
    ended: list[str] = []

    def start() -> None:
        # Once it has read its settings, it sleeps for that many seconds, and can be seen by nobody.
        try:
            with psycopg.connect(moved.source, options="-c post_auth_delay=2") as session:
                session.execute("select pg_sleep(10)")
        except psycopg.OperationalError as error:
            ended.append(str(error))

    thread = threading.Thread(target=start)

    def start_and_wait() -> None:
        thread.start()
        small.wait_until(lambda: moved.on_source(STARTING), "the session to start")

    before(monkeypatch, procedure, "lock_and_fence", start_and_wait)
    moved.advance("cutover")
    thread.join()
    assert "terminating connection" in "".join(ended)


STARTING = """
select true
from pg_locks
where locktype = 'object' and classid = 'pg_database'::regclass and mode = 'RowExclusiveLock'
"""


def test_a_session_that_came_before_the_cutover_and_starts_after_it_is_read_only(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")
    with knocking(moved.source) as come_in:
        moved.advance("cutover")
        assert b"cannot execute INSERT in a read-only transaction" in come_in(
            "insert into products (title, price) values ('early bird', 1)"
        )
    moved.complete()


@contextlib.contextmanager
def knocking(url: str) -> Iterator[Callable[[str], bytes]]:
    """Have a server process wait to be told who comes; gives what tells it, asks, and returns the answer."""
    where = conninfo_to_dict(url)
    with socket.create_connection((where["host"], where["port"])) as client:
        # An answer that it has no encryption (documentation 54.2.11): it has a process for this session.
        client.sendall(struct.pack("!II", 8, 80877103))
        assert client.recv(1) == b"N"

        def come_in(query: str) -> bytes:
            words = f"user\0{where['user']}\0database\0{where['dbname']}\0\0".encode()
            client.sendall(struct.pack("!II", len(words) + 8, 3 << 16) + words)
            text = f"{query}\0".encode()
            client.sendall(b"Q" + struct.pack("!I", len(text) + 4) + text)
            answer = b""
            while b"SERROR" not in answer and (part := client.recv(8192)):
                answer += part
            return answer

        yield come_in
