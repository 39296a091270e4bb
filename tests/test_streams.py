"""Several streams side by side: each table in one of them, nothing lost or doubled, and all waited for."""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.app import App
from migrator.connections import writing
from migrator.copy import snapshot
from migrator.copy.relay import Relay
from migrator.demo.proof import compare, find_missing
from migrator.errors import GateClosed, TimedOut
from migrator.events import StepNote, ignore
from migrator.render.text import text
from migrator.step import Absent, Done, load_step
from migrator.switchover import procedure
from tests.fixtures import small
from tests.fixtures.road import Road, before

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer

    Roads = Callable[..., Road]

THREE = {"replication": {"streams": 3}}
# So that a transaction is streamed before it ends.
SMALL_MEMORY = """
create table much (id int primary key, text text);
do $$ begin
    execute format('alter database %I set logical_decoding_work_mem = %L', current_database(), '64kB');
end $$
"""
PARALLEL = "select pid from pg_stat_subscription where to_jsonb(pg_stat_subscription) ->> 'leader_pid' <> ''"
STANDING = """
select (select count(*) from pg_publication where pubname like 'migrator_%')
     + (select count(*) from pg_subscription where subname like 'migrator_%')
     + (select count(*) from pg_replication_slots where slot_name like 'migrator_%')
"""
# What foreign keys, and a common root, hold together in the small shop.
SALES = {"customers", "order_lines", "orders", "products"}
EVENTS = {"events_in", "events_out"}


def shares(moved: Road) -> dict[str, set[str]]:
    """Return the tables of each publication, without its heartbeat."""
    found: dict[str, set[str]] = defaultdict(set)
    for publication, schema, table in moved.on_source(
        "select pubname::text, schemaname::text, tablename::text from pg_publication_tables"
    ):
        if not schema.startswith("migrator_"):
            found[publication].add(table)
    return found


def carrier(moved: Road, table: str) -> str:
    """Return the name of the stream that carries a table."""
    (name,) = (name for name, tables in shares(moved).items() if table in tables)
    return name


def slow_down_slots(patch: pytest.MonkeyPatch) -> None:
    """Let the source take writes for a while after each slot is made."""
    create = snapshot._create

    def slowly(*arguments: Any) -> Any:
        made = create(*arguments)
        time.sleep(0.3)
        return made

    patch.setattr(snapshot, "_create", slowly)


def subscribe_again(moved: Road) -> None:
    """Drop the subscriptions, each at a place of its own, and make them anew where they stood."""
    app = moved.app
    record = app.journal().load(app.name)
    step = load_step("create_subscription")

    def confirm(_question: str) -> bool:
        return True

    with writing(app.config, record, app.journal(), "test", emit=ignore, confirm=confirm) as ctx:
        step.undo(ctx)
        assert isinstance(step.probe(ctx), Absent)
        step.apply(ctx, Absent())
        assert isinstance(step.probe(ctx), Done)


def test_a_migration_by_three_streams_is_exact_to_the_row(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = road("", setup="", **THREE)
    small.load(moved.source)
    clients = writer(moved.source, small.trade_on(source_cluster.port), sessions=3, per_second=300)
    moved.plan()
    slow_down_slots(monkeypatch)
    moved.advance("replicating")
    assert sorted(shares(moved).values(), key=len) == [{"ledger"}, EVENTS, SALES]
    clients.wait_for(50)
    subscribe_again(moved)
    clients.wait_for(50)
    moved.advance("cutover")
    clients.stop()
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, clients.acknowledged) == set()
    moved.advance("cleaned")
    assert small.leftovers(moved.source, moved.destination) == []


def test_the_way_back_takes_all_streams(road: Roads) -> None:
    two = "create table one (id int primary key); create table two (id int primary key)"
    moved = road("", setup=two, **THREE)
    was = small.fingerprint(moved.source)
    moved.plan()
    moved.advance("replicating")
    assert sorted(shares(moved).values(), key=str) == [{"one"}, {"two"}]
    moved.rollback("schema_copied")
    assert moved.on_source(STANDING) == moved.on_destination(STANDING) == [(0,)]
    moved.rollback("planned")
    assert small.fingerprint(moved.source) == was
    assert small.leftovers(moved.source, moved.destination) == []


@pytest.mark.parametrize("slot_is_lost", [False, True])
def test_a_copy_that_was_cut_short_goes_on_in_all_streams(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
    slot_is_lost: bool,
) -> None:
    moved = road("", setup="", **THREE, copy={"jobs": 1})
    small.load(moved.source, rows=1000)
    clients = writer(moved.source, small.trade_on(source_cluster.port), sessions=3, per_second=200)
    moved.plan()
    with monkeypatch.context() as patch:
        stop_at(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            moved.advance("replicating")
    clients.wait_for(30)
    notes: list[str] = []
    moved.app.emit = lambda event: notes.append(event.text) if isinstance(event, StepNote) else None
    if slot_is_lost:
        moved.on_source("select pg_drop_replication_slot(slot_name) from pg_replication_slots "
                        "where slot_name like 'migrator%2'")  # fmt: skip
    moved.advance("replicating")
    assert any(("begins again" if slot_is_lost else "of 7 tables are in and stay") in n for n in notes), notes
    clients.wait_for(30)
    moved.advance("cutover")
    clients.stop()
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, clients.acknowledged) == set()


def stop_at(patch: pytest.MonkeyPatch, number: int) -> None:
    """Interrupt the copy when it comes to that many tables."""
    original, calls = Relay.copy, []

    def copy(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        if len(calls) == number:
            raise KeyboardInterrupt
        return original(*arguments, **options)

    patch.setattr(Relay, "copy", copy)


def test_new_tables_come_to_the_stream_of_those_they_are_tied_to(road: Roads) -> None:
    moved = road("replicating", **THREE)
    moved.on_source(
        """
        create table reviews (id int primary key, product_id int references products);
        create table events_late partition of events for values in ('late');
        create table alone (id int primary key);
        insert into reviews values (1, 1);
        insert into events values (1, 'late');
        """
    )
    moved.app.refresh()
    assert carrier(moved, "reviews") == carrier(moved, "products")
    assert carrier(moved, "events_late") == carrier(moved, "events_in")
    assert carrier(moved, "alone") == carrier(moved, "ledger")
    moved.on_source("insert into reviews values (2, 1); insert into alone values (2)")
    moved.complete()


def test_tied_tables_are_split_when_that_is_wanted(road: Roads) -> None:
    moved = road("replicating", replication={"streams": 5, "split_tied": True})
    assert sorted(map(len, shares(moved).values())) == [1, 1, 1, 2, 2]
    with psycopg.connect(moved.source) as connection:
        connection.execute("insert into orders (id, customer_id) values (999, 1)")
        connection.execute("insert into order_lines values (999, 1, 1)")
    moved.complete()


def test_each_stream_is_told_apart(road: Roads) -> None:
    moved = road("replicating", **THREE)
    stream = moved.app.status().stream
    assert stream is not None
    assert (stream.state, [part.state for part in stream.parts]) == ("streaming", ["streaming"] * 3)
    assert all(part.retained_bytes is not None for part in stream.parts)
    name = stream.parts[1].name
    moved.on_destination(f"alter subscription {name} disable")
    status = moved.app.status()
    assert status.stream is not None
    assert status.stream.state == "2 of 3 streaming"
    assert [part.state for part in status.stream.parts] == ["streaming", "disabled", "streaming"]
    assert any("disabled" in warning for warning in status.warnings)
    lines = [line.split() for line in text(status)]
    assert ["stream", "2", "disabled"] in [words[:3] for words in lines]
    assert ["streams", "2", "of", "3", "streaming"] in [words[:5] for words in lines]
    moved.on_destination(f"alter subscription {name} enable")
    moved.complete()


def test_the_hand_over_waits_for_the_slowest_stream_and_names_it(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", **THREE, cutover={"max_pause": "1s"})
    stuck = carrier(moved, "ledger")
    with psycopg.connect(moved.destination, options="-c default_transaction_read_only=off") as blocker:

        def hold() -> None:
            blocker.execute("lock table ledger in access exclusive mode")
            moved.on_source("insert into ledger (token) values (md5(random()::text)::uuid)")

        before(monkeypatch, procedure, "lock_and_fence", hold)
        started = time.monotonic()
        said = moved.refuse(TimedOut, 5)
        assert time.monotonic() - started < 5
        assert stuck in said
        others = set(shares(moved)) - {stuck}
        assert not any(f"({name})" in said for name in others)
        moved.on_source("insert into products (title, price) values ('goes on', 1)")
        with psycopg.connect(moved.source) as source:
            assert source.execute("show default_transaction_read_only").fetchone() == ("off",)
        blocker.rollback()
    moved.complete()


def test_a_stream_that_is_missing_or_stands_still_closes_the_gates(road: Roads) -> None:
    moved = road("seq_synced", **THREE)
    name = carrier(moved, "ledger")
    moved.on_destination(f"alter subscription {name} disable")
    moved.on_destination(f"alter subscription {name} set (slot_name = none)")
    moved.on_destination(f"drop subscription {name}")
    assert name in moved.refuse(GateClosed, 4)


@pytest.mark.parametrize(("streams", "severity"), [(1, ""), (4, "warn"), (16, "block")])
def test_as_many_workers_as_streams_may_take_must_be_free(
    road: Roads,
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    streams: int,
    severity: str,
) -> None:
    if severity == "warn" and min(source_cluster.major, destination_cluster.major) < 16:
        severity = ""
    setup = "create table one (id int primary key)"
    moved = road("", setup=setup, replication={"streams": streams})
    found = [f for f in moved.app.plan(dry_run=True).findings if f.check == "free_slots"]
    workers = [f for f in found if f.message.startswith("max_logical_replication_workers")]
    # After the cutover the source's workers bring the changes back.
    assert [f.severity for f in workers] == ([severity] * 2 if severity else [])


def test_fewer_groups_than_streams_make_fewer_streams(road: Roads) -> None:
    moved = road("", setup="", replication={"streams": 5})
    small.load(moved.source, rows=10)
    notes: list[str] = []
    moved.app.emit = lambda event: notes.append(event.text) if isinstance(event, StepNote) else None
    moved.plan()
    moved.advance("replicating")
    assert len(shares(moved)) == 3
    assert any("there will be 3" in note for note in notes)


def test_a_changed_number_is_told_and_strands_nothing(road: Roads) -> None:
    moved = road("replicating", **THREE)
    path = moved.project.path
    path.write_text(path.read_text().replace("streams = 3", "streams = 1"))
    moved.app = App.open(path, confirm=lambda _question: True)
    with moved.app:
        (finding,) = (f for f in moved.app.preview_advance(None).findings if f.check == "changed_streams")
        assert finding.severity == "warn"
        assert "was 3" in finding.message
        moved.complete()


def test_a_large_transaction_is_applied_while_it_goes_on(
    road: Roads, source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer
) -> None:
    moved = road("replicating", setup=SMALL_MEMORY)
    ((streaming,),) = moved.on_destination("select substream::text from pg_subscription where subenabled")
    both = min(source_cluster.major, destination_cluster.major)
    assert streaming == {13: "f", 14: "t", 15: "t"}.get(both, "p")
    with psycopg.connect(moved.source) as connection:
        connection.execute("insert into much select n, repeat('x', 100) from generate_series(1, 20000) n")
        if streaming == "p":
            small.wait_until(lambda: moved.on_destination(PARALLEL), "a worker of the transaction's own")
        connection.execute("delete from much where id % 3 = 0")
    moved.complete()
