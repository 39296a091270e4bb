"""What the stream does not carry, unlogged tables and large objects, arrives all the same."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.copy import large_object_batch
from migrator.demo.proof import compare, find_missing
from migrator.demo.transactions import ledger_transaction
from migrator.errors import ChecksBlocked, Conflict, GateClosed, StepFailed, TimedOut
from migrator.steps import hand_over as hand_over_step
from migrator.switchover import procedure, sequences, unstreamed
from tests.fixtures import small
from tests.fixtures.road import before
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

COPY = {"unlogged": "copy", "large_objects": "copy"}
PAGE = 2048
FILES = 60
# Owned by one role, granted to another, empty, of some pages, and one that is carried in several parts.
SETUP = f"""
create table ledger (
    id bigint generated always as identity primary key,
    token uuid not null unique,
    amount int,
    at timestamptz not null default clock_timestamp()
);
create table users (id int primary key);
insert into users select generate_series(1, 100);
create unlogged table sessions (
    id int primary key,
    user_id int not null references users,
    said text,
    doubled int generated always as (id * 2) stored
);
create unlogged table clicks (session int not null references sessions on delete cascade, n int);
create unlogged table parted (kind text not null, n int) partition by list (kind);
create unlogged table parted_one partition of parted for values in ('one');
insert into sessions select n, 1 + n % 100, 'said ' || n from generate_series(1, 3000) n;
insert into clicks select n, n from generate_series(1, 3000) n;
insert into parted select 'one', n from generate_series(1, 100) n;
create table files (id int primary key, content oid not null);
insert into files
    select n, lo_from_bytea(0, repeat(chr(64 + n), n * 700)::bytea) from generate_series(1, {FILES}) n;
insert into files select 1000, lo_from_bytea(0, repeat('large', 700000)::bytea);
insert into files select 1001, lo_create(0);
insert into files select 1002, lo_from_bytea(3000000000, 'a high oid');
"""
OBJECTS = """
select m.oid::bigint, m.lomowner::regrole::text, md5(lo_get(m.oid)), obj_description(m.oid, 'pg_largeobject'),
       (select array_agg(a::text order by a::text)
          from unnest(coalesce(lomacl, acldefault('L', lomowner))) a)
  from pg_largeobject_metadata m
 order by 1
"""
CHANGES = (
    "select lo_put(content, {at}, '{token}') from files where id = {one}",
    f"select lo_put(content, {{at}} * {PAGE}, '{{token}}') from files where id = {{one}}",
    # Whole pages go, no page is written; and what is left is never of the same length by chance alone.
    f"select lo_truncate(lo_open(content, 131072), 2 * {PAGE}) from files where id = {{one}}",
    "select lo_truncate(lo_open(content, 131072), {at}) from files where id = {one}",
    "with gone as (delete from files where id = {one} returning content) select lo_unlink(content) from gone",
    "insert into files values ({one}, lo_from_bytea(0, '{token}')) on conflict do nothing",
    "insert into files values ({one}, lo_create(0)) on conflict do nothing",
    "do $$ begin execute format('comment on large object %s is ''{token}''', "
    "(select content from files where id = 1002)); end $$",
    "update sessions set said = '{token}' where id = {one}",
    "delete from sessions where id = {one}",
    "insert into sessions values ({one}, 1, '{token}') on conflict do nothing",
    "insert into parted values ('one', {one})",
)


def churn_on(port: int) -> Callable[[Connection, UUID, Random], None]:
    """Change large objects and unlogged rows on the server at ``port``; elsewhere only the token."""

    def transact(connection: Connection, token: UUID, dice: Random) -> None:
        if connection.info.port == port:
            one = dice.randint(1, FILES)
            # Two writers of one large object make the server fail, as ever.
            connection.execute("select pg_advisory_xact_lock(%s)", [one])
            change = dice.choice(CHANGES).format(one=one, at=dice.randint(0, 9000), token=token)
            if "1002" in change:
                connection.execute("select pg_advisory_xact_lock(1002)")
            connection.execute(change.encode())
        ledger_transaction(connection, token, dice)

    return transact


def fail(*_: object) -> None:
    raise StepFailed("cut short")


def objects(url: str) -> list[Any]:
    with connect(url) as connection:
        return connection.execute(OBJECTS).fetchall()


def assert_same(moved: Road) -> None:
    """Make sure that tables, unlogged ones included, and large objects are equal, and that there are some."""
    assert compare(moved.source, moved.destination) == []
    assert objects(moved.destination) == objects(moved.source) != []
    (count,) = moved.on_destination(
        "select count(*) from files join pg_largeobject_metadata m on m.oid = content"
    )
    assert [count] == moved.on_destination("select count(*) from files")


def test_both_are_equal_after_a_cutover_under_writes(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
) -> None:
    ensure_roles([source_cluster, destination_cluster], "file owner", "file_reader")
    moved = road("", setup=SETUP, tables=COPY)
    with connect(moved.source) as owner:
        for statement in (
            'alter large object {0} owner to "file owner"',
            "grant select on large object {0} to file_reader with grant option",
            "set role file_reader; grant select on large object {0} to public; reset role",
            'revoke update on large object {0} from "file owner"',
            "comment on large object {0} is 'it''s 100%'",
        ):
            owner.execute(statement.format(3000000000).encode())
    clients = writer(moved.source, churn_on(source_cluster.port), sessions=3, per_second=300)
    clients.wait_for(30)
    moved.plan()
    moved.advance("replicating")
    clients.wait_for(200)
    assert objects(moved.destination) != objects(moved.source)
    moved.on_source("alter large object 3000000000 owner to file_reader")
    moved.advance("seq_synced")
    clients.wait_for(100)
    estimate = moved.app.status().second_copy_seconds
    assert estimate is not None
    assert 0 < estimate < 1
    moved.advance("cutover")
    assert moved.app.status().second_copy_seconds is None
    clients.stop()
    assert find_missing(moved.destination, clients.acknowledged) == set()
    assert_same(moved)
    counted = moved.on_destination("select count(*) from sessions")
    recorded = "select rows from {}.unlogged where relation = 'sessions'::regclass"
    ((ours,),) = moved.on_destination("select nspname from pg_namespace where nspname ~ '^migrator'")
    assert moved.on_destination(recorded.format(ours)) == counted
    kept = [row for row in objects(moved.destination) if row[0] == 3000000000]
    assert kept[0][1] == "file_reader"
    assert moved.on_destination("select bool_and(doubled = id * 2) from sessions") == [(True,)]
    moved.advance("cleaned")
    assert_same(moved)
    assert small.leftovers(moved.source, moved.destination) == []


def test_a_second_copy_that_takes_too_long_gives_way_and_nothing_is_missed_by_the_next(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", setup=SETUP, tables=COPY, cutover={"max_pause": "1s"})
    again = unstreamed.copy_again

    def slowly(ctx: Any, held: Any, sent: Callable[[int], None]) -> Any:
        def slow(size: int) -> None:
            time.sleep(0.6)
            sent(size)

        return again(ctx, held, slow)

    for change in (
        "insert into sessions select n, 1, repeat('x', 100) from generate_series(5000, 9000) n",
        "select lo_put(content, 1500000, 'changed') from files where id = 1000",
    ):
        moved.on_source(change)
        with monkeypatch.context() as patch:
            patch.setattr(unstreamed, "copy_again", slowly)
            assert "max_pause" in moved.refuse(TimedOut, 5)
        moved.on_source("insert into users select max(id) + 1 from users")
    # Changed before a pass that was made and whose cutover was not, and after it.
    moved.on_source("select lo_put(content, 0, 'before') from files where id in (5, 6)")
    with monkeypatch.context() as patch:
        patch.setattr(sequences, "read", fail)
        moved.refuse(StepFailed, 5)
    moved.on_source("select lo_put(content, 0, 'after') from files where id in (6, 7)")
    # As no function does it: a page goes and none is written.
    page = "loid in (select content from files where id = 30) and pageno = 9"
    moved.on_source(f"delete from pg_largeobject where {page}")
    moved.on_source("delete from sessions where id < 100")
    moved.advance("cutover")
    assert_same(moved)


def test_a_pass_that_was_cut_short_is_gone_on_with(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("schema_copied", setup=SETUP, tables=COPY)
    with monkeypatch.context() as patch:
        patch.setattr(large_object_batch.Batch, "_append", fail)
        moved.refuse(StepFailed, 5, "replicating")
    moved.on_source("select lo_put(content, 0, 'changed since') from files where id in (1, 2)")
    moved.advance("replicating")
    assert_same(moved)
    before(monkeypatch, unstreamed, "copy_again", lambda: moved.on_destination("select lo_create(4711)"))
    assert "4711" in moved.refuse(Conflict, 5, "cutover")
    moved.on_source("insert into users values (200)")
    moved.refuse(ChecksBlocked, 4)
    moved.on_destination("select lo_unlink(4711)")
    moved.rollback("planned")
    assert objects(moved.destination) == []
    moved.advance("cutover")
    assert_same(moved)


def test_who_waits_for_a_large_object_at_the_cutover_has_not_written_and_who_writes_later_is_found(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", setup=SETUP, tables=COPY)
    waits = "select 1 from pg_locks where relation = 'pg_largeobject'::regclass and not granted"
    ended: list[str | None] = []

    def write(text: str, session: psycopg.Connection[Any]) -> None:
        session.execute(f"select lo_put(content, 0, '{text}') from files where id = 3".encode())

    def write_at_the_fence(session: psycopg.Connection[Any]) -> None:
        try:
            write("late", session)
        except psycopg.OperationalError as error:
            ended.append(error.sqlstate)

    waiting, old = connect(moved.source), connect(moved.source)
    thread = threading.Thread(target=write_at_the_fence, args=[waiting])

    def at_the_fence() -> None:
        thread.start()
        small.wait_until(lambda: moved.on_source(waits), "the late writer")

    switch_over = procedure.switch_over

    def switch_over_and_write(ctx: Any, settings: Any) -> Any:
        evidence = switch_over(ctx, settings)
        thread.join(10)
        assert objects(moved.source) == objects(moved.destination)
        write("later", old)
        return evidence

    before(monkeypatch, sequences, "moved", at_the_fence)
    monkeypatch.setattr(hand_over_step.procedure, "switch_over", switch_over_and_write)
    said = moved.refuse(StepFailed, 5)
    assert ended == ["57P01"]
    ((oid,),) = moved.on_source("select content::bigint from files where id = 3")
    assert f"written after the cutover: {oid}" in said
    for each in (waiting, old):
        each.close()
    moved.on_source(f"select lo_unlink({oid})")
    moved.advance("cleaned")


def test_a_new_unlogged_table_closes_the_gate_until_it_is_taken_in(road: Roads) -> None:
    moved = road("seq_synced", setup=SETUP, tables=COPY)
    moved.on_source("create unlogged table carts (id int primary key, session int references sessions)")
    moved.on_source("insert into carts select n, n from generate_series(1, 500) n")
    assert "unlogged table public.carts" in moved.refuse(GateClosed, 4)
    moved.app.refresh()
    moved.on_source("insert into carts values (1000, 7)")
    with connect(moved.destination) as stranger, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        stranger.execute("insert into carts values (0)")
    moved.on_source("alter table sessions add column more int")
    assert "columns differ" in moved.refuse(GateClosed, 4)
    moved.on_source("alter table sessions drop column more")
    moved.advance("cutover")
    assert_same(moved)
    assert moved.on_destination("select count(*) from carts") == [(501,)]


def test_what_is_to_be_left_behind_is(road: Roads) -> None:
    moved = road("cutover", setup=SETUP, tables={"unlogged": "skip", "large_objects": "ignore"})
    assert objects(moved.destination) == []
    assert moved.on_destination("select count(*) from sessions") == [(0,)]
    with suppress(psycopg.Error):
        moved.on_destination("select lo_create(4711)")
    moved.advance("cleaned")
