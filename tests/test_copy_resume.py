"""A copy that was interrupted keeps what is in, and the rest comes in under live writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from migrator.copy import builder
from migrator.copy import pieces as pieces_of
from migrator.copy.relay import Relay
from migrator.demo.proof import compare, find_missing
from migrator.errors import ConnectionLost, SourceProtected, StepFailed
from migrator.steps import await_catch_up
from tests.fixtures import small
from tests.fixtures.road import Road, before, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from migrator.pg.registry import WritableRegistry

    Roads = Callable[..., Road]

END_SNAPSHOT = """
    select pg_terminate_backend(pid)
      from pg_stat_activity
     where datname = current_database() and application_name ~ '^migrator/' and backend_type = 'walsender'
"""


class Break(Exception):
    """What a test breaks the copy with."""


def break_after(patch: pytest.MonkeyPatch, count: int, seen: list[str]) -> None:
    """Let the copy fail once after ``count`` pieces are in; note which ones are begun."""
    copy = Relay.copy

    async def copy_or_fail(self: Relay, piece: Any, *others: Any) -> Any:
        if len(seen) >= count:
            raise Break
        copied = await copy(self, piece, *others)
        seen.append(piece.label)
        return copied

    patch.setattr(Relay, "copy", copy_or_fail)


def under_writes(
    road: Roads,
    writer: Callable[..., Writer],
    cluster: EmbeddedServer,
    rows: int = small.DEFAULT_ROWS,
    **sections: Any,
) -> tuple[Road, Writer]:
    """Give a shop whose schema is copied, and clients that write to all of its tables."""
    moved = road("", setup="select 1", **sections)
    small.load(moved.source, rows=rows)
    moved.plan()
    moved.advance("schema_copied")
    clients = writer(moved.source, small.trade_on(cluster.port), sessions=3, per_second=200)
    clients.wait_for(20)
    return moved, clients


def recorded(road: Road) -> dict[str, Any]:
    """Return when each piece was recorded as in, on the destination."""
    (name,) = road.on_destination("select nspname::text from pg_namespace where nspname ~ '^migrator_'")[0]
    rows = road.on_destination(f"select relation::regclass::text, piece, at, position from {name}.copied")
    return {f"{table} {piece}": (at, position) for table, piece, at, position in rows}


def prove(road: Road, writer: Writer) -> None:
    writer.wait_for(50)
    writer.stop()
    road.advance("cutover")
    assert compare(road.source, road.destination) == []
    assert find_missing(road.destination, writer.acknowledged) == set()


@pytest.mark.parametrize("count", [0, 1, 4])
def test_tables_that_are_in_stay_and_the_others_follow_under_writes(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    count: int,
) -> None:
    moved, clients = under_writes(road, writer, source_cluster, copy={"jobs": 1})
    seen: list[str] = []
    with monkeypatch.context() as patch:
        break_after(patch, count, seen)
        with pytest.raises(Break):
            moved.advance("replicating")
    there = recorded(moved)
    assert len(there) == count
    clients.wait_for(100)
    moved.advance("replicating")
    after = recorded(moved)
    assert len(after) == 7
    assert there.items() <= after.items()
    assert len({position for _, position in after.values()}) == (2 if count else 1)
    prove(moved, clients)


def test_a_table_in_pieces_counts_only_when_all_are_of_one_snapshot(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved, clients = under_writes(
        road, writer, source_cluster, rows=10000, copy={"jobs": 1, "split_above": "1MB"}
    )
    seen: list[str] = []
    with monkeypatch.context() as patch:
        break_after(patch, 1, seen)
        with pytest.raises(Break):
            moved.advance("replicating")
    assert " of " in seen[0]
    first = recorded(moved)
    clients.wait_for(100)
    moved.advance("replicating")
    after = recorded(moved)
    of_table: dict[str, set[Any]] = {}
    for piece, (_at, position) in after.items():
        of_table.setdefault(piece.rpartition(" ")[0], set()).add(position)
    assert all(len(positions) == 1 for positions in of_table.values())
    assert not first.items() & after.items()
    prove(moved, clients)


def test_a_key_cuts_a_table_where_there_is_no_tid_range(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("", setup="select 1", copy={"split_above": "1MB"})
    small.load(moved.source, rows=10000)
    run(moved.source, "vacuum analyze")
    monkeypatch.setattr(pieces_of, "has", lambda _version, _feature: False)
    moved.plan()
    moved.advance("cutover")
    assert len(recorded(moved)) > 8
    assert compare(moved.source, moved.destination) == []


def test_a_connection_that_breaks_is_made_anew(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved, clients = under_writes(road, writer, source_cluster)
    copy, broken = Relay.copy, []

    async def copy_broken(self: Relay, piece: Any, *others: Any) -> Any:
        if len(broken) < 4:
            side = (self.source, self.destination)[len(broken) % 2]
            broken.append(piece.label)
            url = (moved.source, moved.destination)[(len(broken) - 1) % 2]
            run(url, f"select pg_terminate_backend({side.get_server_pid()})")
        return await copy(self, piece, *others)

    monkeypatch.setattr(Relay, "copy", copy_broken)
    moved.advance("replicating")
    assert len(broken) == 4
    prove(moved, clients)


def test_a_snapshot_that_is_lost_is_followed_by_a_later_one(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved, clients = under_writes(road, writer, source_cluster, copy={"jobs": 1})
    copy, seen = Relay.copy, []

    async def copy_without(self: Relay, piece: Any, *others: Any) -> Any:
        seen.append(piece.label)
        if len(seen) == 4:
            run(moved.source, END_SNAPSHOT)
        return await copy(self, piece, *others)

    monkeypatch.setattr(Relay, "copy", copy_without)
    moved.advance("replicating")
    assert len(seen) == 8
    assert len({position for _, position in recorded(moved).values()}) == 2
    prove(moved, clients)


def test_a_connection_that_keeps_breaking_is_an_error_that_names_it(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    copy = Relay.copy

    async def copy_broken(self: Relay, piece: Any, *others: Any) -> Any:
        run(moved.source, f"select pg_terminate_backend({self.source.get_server_pid()})")
        return await copy(self, piece, *others)

    with monkeypatch.context() as patch:
        patch.setattr("migrator.copy.transfer.BACK_OFF", (0.01, 0.01))
        patch.setattr("migrator.endurance.PAUSES", (0.01,))
        patch.setattr(Relay, "copy", copy_broken)
        moved.refuse(ConnectionLost, 5)
    moved.complete()


def test_the_slot_is_given_up_before_it_fills_the_disk_of_the_source(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied", copy={"max_retained_wal": "4MB"})
    monkeypatch.setattr("migrator.copy.transfer.WATCH_EVERY", 0.05)
    copy = Relay.copy

    async def copy_slowly(self: Relay, piece: Any, *others: Any) -> Any:
        if piece.table.name == "ledger":
            run(moved.source, "create table bulk as select repeat('x', 1000) from generate_series(1, 8000)")
            run(moved.source, "drop table bulk")
            await asyncio.sleep(1)
        return await copy(self, piece, *others)

    with monkeypatch.context() as patch:
        patch.setattr(Relay, "copy", copy_slowly)
        assert "max_retained_wal is 4 MB" in moved.refuse(SourceProtected, 5)
    assert moved.on_source("select 1 from pg_replication_slots where database = current_database()") == []
    moved.complete()


def test_a_stream_that_cannot_catch_up_gives_the_slot_up_too(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied", copy={"max_retained_wal": "4MB"})
    bulk = "create table bulk as select repeat('x', 1000) from generate_series(1, 8000); drop table bulk"
    with monkeypatch.context() as patch:
        before(patch, await_catch_up, "_protect_source", lambda: moved.on_source(bulk))
        assert "max_retained_wal is 4 MB" in moved.refuse(SourceProtected, 5, "replicating")
    assert moved.on_source("select 1 from pg_replication_slots where database = current_database()") == []
    moved.rollback("schema_copied")
    moved.complete()


def test_the_first_failure_stops_everything_else(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("schema_copied")
    moved.on_destination("alter table order_lines add check (line < 0)")
    assert "order_lines" in moved.refuse(StepFailed, 5)
    left = "select 1 from pg_stat_activity where application_name ~ '^migrator/' and state <> 'idle'"
    small.wait_until(lambda: not moved.on_destination(left), "the other sessions to end")
    moved.on_destination("alter table order_lines drop constraint order_lines_line_check")
    moved.complete()


def test_a_piece_whose_commit_got_no_answer_is_not_copied_again(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved, clients = under_writes(road, writer, source_cluster)
    copy, seen = Relay.copy, []

    async def copy_unanswered(self: Relay, piece: Any, *others: Any) -> Any:
        await copy(self, piece, *others)
        seen.append(piece.label)
        raise ConnectionResetError("Connection reset by peer")

    monkeypatch.setattr(Relay, "copy", copy_unanswered)
    moved.advance("replicating")
    assert len(seen) == len(set(seen)) == 7
    prove(moved, clients)


def test_a_commit_that_is_still_under_way_when_it_is_asked_for_counts(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    copy, recorded_, seen = Relay.copy, Relay.recorded, []

    async def copy_unanswered(self: Relay, piece: Any, *others: Any) -> Any:
        copied = await copy(self, piece, *others)
        if not seen:
            seen.append(piece.label)
            raise ConnectionResetError("Connection reset by peer")
        return copied

    async def recorded_late(self: Relay, *arguments: Any) -> Any:
        seen.append("asked")
        return None if len(seen) == 2 else await recorded_(self, *arguments)

    monkeypatch.setattr(Relay, "copy", copy_unanswered)
    monkeypatch.setattr(Relay, "recorded", recorded_late)
    moved.advance("replicating")
    assert seen[1:] == ["asked", "asked"]
    moved.complete()


def test_a_builder_that_is_ended_begins_its_build_again(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("schema_copied")
    seen: list[int] = []
    restore_together = builder.restore_together

    def ended(registry: WritableRegistry, *others: Any, **options: Any) -> None:
        restore_together(registry, *others, **options)
        if not seen:
            seen.append(registry.session.pid)
            run(moved.destination, f"select pg_terminate_backend({seen[0]})")
            registry.session.value("select 1")

    monkeypatch.setattr(builder, "restore_together", ended)
    moved.advance("replicating")
    assert seen
    assert len({position for _, position in recorded(moved).values()}) == 1
    moved.complete()
