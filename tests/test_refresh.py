"""A running migration takes in the tables and partitions that the source has got since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.copy.relay import Relay
from migrator.demo.proof import compare, find_missing
from migrator.errors import ChecksBlocked, GateClosed, OutOfOrder
from tests.fixtures import small
from tests.fixtures.road import Road, before

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random
    from uuid import UUID

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer

    Roads = Callable[..., Road]

NEW = """
    create table reviews (
        id bigint generated always as identity primary key,
        product_id int not null references products,
        token uuid,
        stars smallint check (stars between 1 and 5)
    );
    create index on reviews (product_id, stars);
    create table "Odd ""name"".x" (id serial primary key, text text);
    create table events_late partition of events for values in ('late');
    create trigger touch before update on reviews for each row execute function touch_nothing();
    insert into reviews (product_id, stars) select 1 + n % 100, 1 + n % 5 from generate_series(1, 5000) n;
    insert into "Odd ""name"".x" (text) select n::text from generate_series(1, 1000) n;
    insert into events select n, 'late' from generate_series(1, 1000) n;
"""
TOUCH = """
    create function touch_nothing() returns trigger language plpgsql as $$ begin return new; end $$
"""


def review_on(port: int) -> Callable[[Connection, UUID, Random], None]:
    """Trade, and write to the new tables too, on the server at ``port``; elsewhere only the token."""
    trade = small.trade_on(port)

    def transact(connection: Connection, token: UUID, dice: Random) -> None:
        if connection.info.port == port:
            one = dice.randint(1, 1000)
            connection.execute("insert into reviews (product_id, token) values (%s, %s)", [1, str(token)])
            connection.execute("update reviews set stars = 1 + stars %% 5 where id = %s", [one])
            connection.execute("delete from reviews where id = %s", [one + 1000])
            connection.execute("""update "Odd ""name"".x" set text = text || '.' where id = %s""", [one])
            connection.execute("delete from events where id = %s and kind = 'late'", [one])
        trade(connection, token, dice)

    return transact


@pytest.mark.parametrize(("state", "streams"), [("replicating", 1), ("seq_synced", 3)])
def test_new_tables_come_in_under_writes(
    road: Roads, writer: Callable[..., Writer], source_cluster: EmbeddedServer, state: str, streams: int
) -> None:
    moved = road("", setup=TOUCH, replication={"streams": streams})
    small.load(moved.source)
    moved.plan()
    moved.advance(state)
    moved.on_source(NEW)
    clients = writer(moved.source, review_on(source_cluster.port), sessions=3, per_second=200)
    clients.wait_for(50)
    report = moved.app.refresh()
    assert report.state == state
    assert moved.app.status().warnings == ()
    clients.wait_for(50)
    clients.stop()
    # After the tables were added, or servers before 13 may pass over their changes.
    listed = "select prrelid::regclass::text from pg_publication_rel order by age(xmin) limit 1"
    assert moved.on_source(listed)[0][0].endswith(".heartbeat_1")
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, clients.acknowledged) == set()
    defined = """
        select (select count(*) from pg_index where indrelid = 'reviews'::regclass),
               (select count(*) from pg_constraint
                 where conrelid = 'reviews'::regclass and contype in ('f', 'c')),
               (select count(*) from pg_trigger where tgrelid = 'reviews'::regclass and tgname = 'touch'),
               (select relispartition from pg_class where relname = 'events_late')
    """
    assert moved.on_destination(defined) == moved.on_source(defined)
    moved.advance("cleaned")
    assert small.leftovers(moved.source, moved.destination) == []


def test_a_refresh_that_was_cut_short_copies_its_tables_anew(
    road: Roads,
    writer: Callable[..., Writer],
    source_cluster: EmbeddedServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    moved = road("", setup=TOUCH)
    small.load(moved.source)
    moved.plan()
    moved.advance("replicating")
    moved.on_source(NEW)
    clients = writer(moved.source, review_on(source_cluster.port), sessions=3, per_second=200)
    for point in ("copy", "enable"):
        with monkeypatch.context() as patch:
            if point == "copy":
                before(patch, Relay, "copy", stop)
            else:
                before(patch, psycopg.Connection, "cancel_safe", lambda: None)
                patch.setattr("migrator.switchover.streams.enable", stop)
            with pytest.raises(KeyboardInterrupt):
                moved.app.refresh()
        clients.wait_for(50)
        # Whoever starts the stream now lets it pass changes of tables that it does not carry yet.
        (name,) = moved.on_destination("select subname::text from pg_subscription where not subenabled")[0]
        moved.on_destination(f"alter subscription {name} enable")
        clients.wait_for(50)
    moved.app.refresh()
    clients.wait_for(50)
    clients.stop()
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, clients.acknowledged) == set()


def test_without_a_refresh_the_cutover_is_refused_and_the_way_back_takes_all(road: Roads) -> None:
    moved = road("")
    was = small.fingerprint(moved.source)
    moved.plan()
    moved.advance("seq_synced")
    moved.on_source("create table late (id int primary key)")
    assert "public.late" in moved.refuse(GateClosed, 4)
    assert any("public.late" in warning for warning in moved.app.status().warnings)
    moved.app.refresh()
    moved.rollback("planned")
    moved.on_source("drop table late")
    assert small.fingerprint(moved.source) == was
    assert small.leftovers(moved.destination) == []
    assert moved.on_destination("select 1 from pg_class where relname in ('late', 'products')") == []


def test_a_table_that_would_fail_once_it_is_published_is_refused(road: Roads) -> None:
    moved = road("replicating")
    moved.on_source("create table keyless (id int)")
    with pytest.raises(ChecksBlocked) as raised:
        moved.app.refresh()
    assert raised.value.exit_code == 4
    moved.on_source("alter table keyless replica identity full")
    moved.app.refresh()
    moved.on_source("insert into keyless values (1), (1)")
    moved.complete()


@pytest.mark.parametrize("state", ["planned", "schema_copied", "cutover"])
def test_there_is_nothing_to_refresh_without_a_stream(road: Roads, state: str) -> None:
    moved = road(state)
    with pytest.raises(OutOfOrder) as raised:
        moved.app.refresh()
    assert raised.value.exit_code == 3


def stop(*_arguments: Any) -> None:
    raise KeyboardInterrupt
