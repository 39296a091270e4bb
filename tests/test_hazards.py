"""What could go wrong around the cutover without anybody noticing, and does not."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.connections import reading
from migrator.errors import ChecksBlocked, GateClosed, StepFailed, WrongServer
from migrator.events import ignore
from migrator.step import load_step
from migrator.switchover import drain, gates, procedure, sequences
from tests.fixtures import small
from tests.fixtures.road import STUBBORN, before
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

FENCE_WAITS = """
select 1 from pg_locks l join pg_stat_activity a using (pid)
 where a.application_name ~ '^migrator/' and not l.granted
   and l.relation = 'products'::regclass and l.mode = 'ShareRowExclusiveLock'
"""
TABLE_LOCK_WAITS = """
select 1 from pg_locks where not granted and relation = 'products'::regclass and mode = 'AccessExclusiveLock'
"""
FENCES = "select tgrelid::regclass::text from pg_trigger where tgname ~ '^migrator_fence'"
ADD = "insert into products (title, price) values ('{}', 1)"
FOUND = "select 1 from products where title = '{}'"
DOUBLE = "alter table products alter column price type numeric(10, 2) using price * 2"


def closed_gates(road: Road) -> str:
    """Return why the gates are closed, without any check before them."""
    record = road.app.journal().load("move")
    with reading(road.app.config, record, ignore) as ctx:
        return "; ".join(gates.closed(ctx))


def test_a_table_that_was_rewritten_after_its_copy_closes_the_gate(road: Roads) -> None:
    moved = road("seq_synced")
    moved.on_source(DOUBLE)
    moved.on_source("alter table ledger alter column amount type bigint using amount + 1")
    said = moved.refuse(GateClosed, 4)
    (rewritten,) = [part for part in said.split("; ") if "were rewritten" in part]
    assert "public.products" in rewritten
    assert "public.ledger" in rewritten
    moved.on_source(ADD.format("still writable"))


def test_truncate_and_vacuum_full_after_the_copy_do_not_close_the_gate(road: Roads) -> None:
    moved = road("seq_synced")
    moved.on_source("truncate events_out")
    moved.on_source("vacuum full products")
    moved.on_source("delete from events where id < 4")
    moved.complete()
    assert moved.on_destination("select count(*) from events_out") == [(0,)]


def test_a_column_added_by_whoever_was_in_the_way_is_found_under_the_fence(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"lock_timeout": "5s"})
    with psycopg.connect(moved.source) as slow:

        def alter_in_the_way() -> None:
            small.wait_until(lambda: moved.on_source(FENCE_WAITS), "the fence to wait")
            slow.execute("alter table products add column extra int")
            slow.commit()

        thread = threading.Thread(target=alter_in_the_way)

        def be_in_the_way() -> None:
            slow.execute(ADD.format("slow"))
            thread.start()

        before(monkeypatch, procedure, "lock_and_fence", be_in_the_way)
        said = moved.refuse(GateClosed, 4)
        thread.join()
    assert "columns differ" in said
    assert "public.products" in said
    assert moved.app.state() == "seq_synced"
    with psycopg.connect(moved.source) as application:
        application.execute(ADD.format("writable"))


def test_a_schema_change_that_queues_up_behind_the_fence_does_not_hold_it_up(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a quick look the first token is that of the fence.
    moved = road("seq_synced", cutover={"max_pause": "4s", "quick_diff": "0s"})
    with connect(moved.source) as late:

        def alter() -> None:
            late.execute("alter table products alter column title drop default")

        thread = threading.Thread(target=alter)

        def queue_up() -> None:
            thread.start()
            small.wait_until(lambda: moved.on_source(TABLE_LOCK_WAITS), "the schema change to wait")

        before(monkeypatch, drain, "beat", queue_up)
        moved.advance("cutover")
        thread.join()
    moved.complete()


def test_nobody_writes_to_the_closed_side_and_the_stream_still_truncates_there(road: Roads) -> None:
    moved = road("seq_synced")
    writes = (
        ADD.format("by force"),
        "update ledger set amount = 1",
        "delete from events_in",
        "truncate events",
    )

    def assert_closed(url: str) -> None:
        with connect(url, options=STUBBORN) as stubborn:
            for write in writes:
                with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                    stubborn.execute(write.encode())
            with (
                pytest.raises(psycopg.errors.ReadOnlySqlTransaction),
                stubborn.cursor().copy("copy customers (name) from stdin") as copy,
            ):
                copy.write("by force")

    assert_closed(moved.destination)
    moved.on_source("truncate events_in")
    moved.arrives("select 1 from (select count(*) from events_in) n (n) where n = 0")
    moved.advance("cutover")
    assert_closed(moved.source)
    moved.complete()


def test_a_subscription_that_feeds_the_source_is_not_overlooked(road: Roads) -> None:
    moved = road("")
    moved.on_source(
        f"create subscription feed connection '{moved.destination}' publication p"
        " with (connect = false, slot_name = 'feed')"
    )
    moved.on_source("alter subscription feed enable")
    with pytest.raises(ChecksBlocked) as raised:
        moved.plan()
    assert raised.value.exit_code == 4
    assert "feed" in str(raised.value.fields["findings"])
    moved.on_source("alter subscription feed disable")
    moved.plan()
    moved.advance("seq_synced")
    moved.app.rehearse()
    assert closed_gates(moved) == ""
    moved.on_source("alter subscription feed enable")
    assert "subscription feed still brings changes" in closed_gates(moved)
    moved.refuse(ChecksBlocked, 4)
    moved.on_source("alter subscription feed disable")
    moved.advance("cutover")


def test_what_the_stream_cannot_carry_blocks_the_cutover_when_it_came_late(road: Roads) -> None:
    moved = road("seq_synced")
    moved.on_source("select lo_create(4711)")
    moved.on_source("create unlogged table cache (id int primary key)")
    with pytest.raises(ChecksBlocked) as raised:
        moved.advance()
    assert raised.value.exit_code == 4
    findings = str(raised.value.fields["findings"])
    assert "1 large objects" in findings
    assert "public.cache" in findings
    moved.on_source("select lo_unlink(4711)")
    moved.on_source("drop table cache")
    moved.complete()


def test_no_lock_on_the_destination_holds_up_its_opening(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")
    with psycopg.connect(moved.destination) as holder:

        def lock() -> None:
            holder.execute("set transaction read write")
            holder.execute("lock table products in share update exclusive mode")
            holder.execute("lock table ledger in access exclusive mode")

        before(monkeypatch, type(load_step("open_destination")), "apply", lock)
        moved.advance()
        with psycopg.connect(moved.destination) as application:
            application.execute("insert into customers (name) values ('new')")
            application.execute(ADD.format("new"))
    assert moved.on_destination(FOUND.format("new"))


def test_triggers_that_the_application_disables_are_enabled_again_and_undone(road: Roads) -> None:
    moved = road("seq_synced")
    name = moved.destination.rpartition("/")[2]
    moved.on_destination(f"alter database {name} reset default_transaction_read_only")
    assert "fence is not up" in moved.refuse(GateClosed, 4)
    assert moved.on_source(FENCES)
    for mend in (lambda: moved.refuse(GateClosed, 4), lambda: moved.rollback("replicating")):
        moved.on_source("alter table products disable trigger all")
        mend()
        assert not moved.on_source(FENCES + " and tgenabled <> 'A'")
        moved.on_source(ADD.format("lowered") + " on conflict (title) do nothing")
    assert not moved.on_source(FENCES)
    moved.on_destination(f"alter database {name} set default_transaction_read_only = on")
    moved.complete()


def set_timeline(road: Road, timeline: int) -> None:
    with closing(sqlite3.connect(road.project.directory / ".migrator" / "state.db")) as store:
        store.execute("update migration set source_timeline = ?", [timeline])
        store.commit()


def test_a_failover_stops_what_comes_before_the_cutover_and_nothing_after(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")
    set_timeline(moved, 7)
    assert "timeline" in moved.refuse(WrongServer, 3)
    set_timeline(moved, 1)

    def die() -> None:
        raise KeyboardInterrupt

    before(monkeypatch, procedure, "open_at_once", die)
    with pytest.raises(KeyboardInterrupt):
        moved.advance()
    set_timeline(moved, 7)
    moved.advance("cutover")
    set_timeline(moved, 1)
    moved.complete()


def test_sequences_that_never_stand_still_are_synced_without_a_shift(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("replicating", sequences={"shift": 0})
    write = sequences.write

    def write_and_move(*arguments: Any) -> int:
        count = write(*arguments)
        moved.on_source("select nextval('invoice_numbers'), nextval('products_id_seq')")
        return count

    with monkeypatch.context() as patch:
        patch.setattr(sequences, "write", write_and_move)
        moved.advance("seq_synced")
    moved.complete()


def test_a_session_from_before_the_cutover_is_ended_and_the_table_it_made_is_told(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")
    with psycopg.connect(moved.source, autocommit=True) as old:
        make = "create table late (id int primary key)"
        before(monkeypatch, sequences, "moved", lambda: old.execute(make))
        said = moved.refuse(StepFailed, 5)
        assert "public.late" in said
        with pytest.raises(psycopg.OperationalError):
            old.execute("select 1")
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), psycopg.connect(moved.source) as back:
        back.execute("create table later (id int primary key)")
    moved.on_destination(ADD.format("the destination is open"))
    moved.on_source("drop table late")
    moved.advance("cutover")
