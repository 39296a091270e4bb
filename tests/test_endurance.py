"""A lost connection is tried again, within bounds; a peer that has vanished is noticed in time."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

from migrator import endurance
from migrator.copy import relay
from migrator.errors import ConnectionLost
from migrator.pg.session import ReadSession, WriteSession
from migrator.step import load_step
from migrator.switchover import drain
from tests.fixtures.faults import cut
from tests.fixtures.road import Road, before, run

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from migrator.context import WriteContext

    Roads = Callable[..., Road]

NOTICED_WITHIN = 30
END_ALL = """
    select pg_terminate_backend(pid)
      from pg_stat_activity
     where datname = current_database()
       and application_name ~ '^migrator/'
       and backend_type = 'client backend'
"""


def attempts(road: Road, step: str) -> list[str]:
    """Return how each attempt at a step ended, as the journal has it."""
    return [a.outcome for a in road.app.history().attempts if a.step == step]


def test_the_journal_tells_of_the_failed_attempt_and_of_the_new_one(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    kind = type(load_step("create_publication"))
    before(monkeypatch, kind, "apply", lambda: run(moved.source, END_ALL))
    moved.advance("replicating")
    assert attempts(moved, "create_publication") == ["failed", "done"]
    assert attempts(moved, "copy_tables") == ["done"]
    moved.complete()


def test_a_step_that_loses_its_connection_each_time_is_an_error_in_the_end(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    kind = type(load_step("create_publication"))
    apply = kind.apply

    def lost(self: Any, ctx: WriteContext, found: Any) -> None:
        run(moved.source, END_ALL)
        apply(self, ctx, found)

    with monkeypatch.context() as patch:
        patch.setattr(kind, "apply", lost)
        patch.setattr(endurance, "PAUSES", (0.01,))
        assert "source: the connection was lost" in moved.refuse(ConnectionLost, 5, "replicating")
    assert attempts(moved, "create_publication") == ["failed"] * (endurance.LOSSES_OF_A_STEP + 1)
    moved.complete()


def test_a_hand_over_that_loses_its_connection_is_not_tried_again_by_itself(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")

    def lose(ctx: WriteContext, *_tokens: Any, **_options: Any) -> None:
        cut(ctx.write_source)
        drain.beat(ctx)

    with monkeypatch.context() as patch:
        patch.setattr("migrator.switchover.procedure.drain.wait_for", lose)
        moved.refuse(ConnectionLost, 5)
    assert attempts(moved, "hand_over") == ["failed"]
    moved.on_source("insert into products (title, price) values ('the source serves on', 1)")
    moved.complete()


def test_a_peer_that_has_vanished_is_noticed_on_every_kind_of_session(source_database: str) -> None:
    for kind in (ReadSession, WriteSession):
        with kind.open(source_database, side="source", application="keepalive") as session:
            with socket.socket(fileno=os.dup(session.connection.fileno())) as ours:
                assert noticed_after(ours) <= NOTICED_WITHIN
            assert_server_notices(session)


def noticed_after(ours: socket.socket) -> int:
    """Return the seconds after which a socket gives up a silent peer, whether it sends or listens."""
    idle, interval, count = (
        ours.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    sending = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) // 1000
    assert sending > 0
    return max(sending, idle + interval * count)


def assert_server_notices(session: ReadSession) -> None:
    values = [
        int(session.value(f"select setting from pg_settings where name = 'tcp_{name}'"))
        for name in ("keepalives_idle", "keepalives_interval", "keepalives_count", "user_timeout")
    ]
    idle, interval, count, sending = values
    assert 0 < idle + interval * count <= NOTICED_WITHIN
    assert 0 < sending <= 1000 * NOTICED_WITHIN


def test_a_peer_of_the_relay_that_has_vanished_is_noticed(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    keep_alive, seen = relay._keep_alive, []

    def kept_alive(connection: Any) -> None:
        keep_alive(connection)
        seen.append(noticed_after(connection._transport.get_extra_info("socket")))

    monkeypatch.setattr(relay, "_keep_alive", kept_alive)
    moved.advance("replicating")
    assert len(seen) >= 2
    assert max(seen) <= NOTICED_WITHIN
