"""The writes go to the destination and back to the source, and nothing is lost, doubled or written twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.demo.proof import compare, find_missing
from tests.fixtures import small

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

SLOTS = "select count(*) from pg_replication_slots where database = current_database()"
ADD = "insert into products (title, price) values ('{}', 1)"
FOUND = "select 1 from products where title = '{}'"


def test_what_is_written_on_the_destination_comes_back_with_the_writes(road: Roads) -> None:
    moved = road("cutover")
    status = moved.app.status()
    assert status.way_back == "available"
    assert status.stream is not None
    assert (status.stream.direction, status.stream.state) == ("back", "streaming")
    moved.on_destination(ADD.format("written there"))
    moved.rollback("replicating")
    assert moved.app.state() == "replicating"
    assert moved.on_source(FOUND.format("written there")) == [(1,)]
    moved.on_source(ADD.format("written here again"))
    moved.arrives(FOUND.format("written here again"))
    moved.complete()


def test_the_writes_go_to_and_fro_five_times_under_writers(
    road: Roads, writer: Callable[..., Writer], source_cluster: EmbeddedServer
) -> None:
    moved = road("", setup="select 1")
    small.load(moved.source, rows=1000)
    moved.plan()
    moved.advance("seq_synced")
    acknowledged: set[Any] = set()
    for direction in range(10):
        forward = direction % 2 == 0
        clients = writer(
            moved.source if forward else moved.destination, small.trade, sessions=3, seed=direction
        )
        clients.wait_for(30)
        if forward:
            moved.advance("cutover")
        else:
            moved.rollback("seq_synced")
        clients.stop()
        acknowledged |= clients.acknowledged
    assert moved.on_source(SLOTS) == [(1,)]
    assert moved.on_destination(SLOTS) == [(0,)]
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, acknowledged) == set()
    moved.complete()
