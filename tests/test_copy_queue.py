"""Indexes, statistics and foreign keys come during the copy, each as soon as its tables have come so far."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from migrator.copy import foreign_keys, indexes
from migrator.demo.proof import compare
from migrator.errors import StepFailed
from migrator.step import load_step
from migrator.workflow import EVERY_STEP
from tests.fixtures import small
from tests.fixtures.road import Road, before

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.copy.keys import Key

    Roads = Callable[..., Road]

KEYS = """
    select conrelid::regclass::text, convalidated from pg_constraint
    where contype = 'f' and connamespace = 'public'::regnamespace order by 1, conname
"""
STATISTICS = "select distinct tablename::text from pg_stats where schemaname = 'public' order by 1"
VIOLATE = """
    set session_replication_role = replica;
    delete from customers where id = 7;
    reset session_replication_role;
"""
OBJECT = "create statistics price_by_title on title, price from products; analyze products"


class Stop(Exception):
    """What ends a test's run before the next step."""


def stop() -> None:
    raise Stop


def copied(road: Roads, patch: pytest.MonkeyPatch, setup: str = "select 1") -> Road:
    """Give a migration whose rows are in and whose stream is not there yet."""
    moved = road("schema_copied")
    moved.on_source(setup)
    with patch.context() as own:
        before(own, type(load_step("create_subscription")), "apply", stop)
        with pytest.raises(Stop):
            moved.advance("replicating")
    return moved


def test_keys_and_statistics_are_there_when_the_copy_ends(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = copied(road, monkeypatch)
    assert moved.on_destination(KEYS) == [("order_lines", True), ("order_lines", True), ("orders", True)]
    analyzed = {name for (name,) in moved.on_destination(STATISTICS)}
    assert analyzed == {"customers", "events_in", "events_out", "order_lines", "orders", "products"}
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []


def test_a_table_with_statistics_objects_is_analyzed_when_they_are_there(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = copied(road, monkeypatch, OBJECT)
    assert ("products",) not in moved.on_destination(STATISTICS)
    moved.advance("replicating")
    assert moved.on_destination("select count(*) from pg_statistic_ext_data") == [(1,)]


def test_a_key_that_rows_violate_does_not_stop_the_copy(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = copied(road, monkeypatch, VIOLATE)
    assert ("orders", False) in moved.on_destination(KEYS)
    assert "orders_customer_id_fkey" in moved.refuse(StepFailed, 5, "replicating")
    # What mends it comes by the stream.
    moved.on_source("delete from orders where customer_id = 7")
    moved.arrives("select 1 where not exists (select from orders where customer_id = 7)")
    moved.advance("replicating")
    assert ("orders", True) in moved.on_destination(KEYS)


def test_what_the_copy_builds_is_recorded_as_made_by_steps_that_exist() -> None:
    assert {foreign_keys.STEP, indexes.STEP} <= set(EVERY_STEP)


# Of every kind of key: as an index first, or as pg_dump writes it where there is more to it.
KEYS_OF_ALL_KINDS = '''
    create table kinds (
        id int not null, "of ""two""" int not null, a int, b int, c int, d int, e int4range,
        constraint "The key; of
        two" primary key (id, "of ""two"""),
        constraint later unique (a) deferrable initially deferred,
        constraint soon unique (b) deferrable,
        constraint covering unique (c) include (a, b),
        constraint one_null unique nulls not distinct (d),
        constraint roomy unique (id, c) with (fillfactor = 70),
        exclude using gist (e with &&)
    );
    create index on kinds (a, b);
    alter table kinds alter c set not null;
    alter table kinds replica identity using index covering;
    alter table kinds cluster on one_null;
    insert into kinds
        select n, n, n, n, n, n, int4range(10 * n, 10 * n + 5) from generate_series(1, 1000) n;
    update kinds set d = null where id = 7;
'''
DEFINED = """
    select k.conname, k.contype::text, pg_get_constraintdef(k.oid), pg_get_indexdef(k.conindid),
           i.indisreplident, i.indisclustered, i.indimmediate, x.reloptions
    from pg_constraint k
    join pg_index i on i.indexrelid = k.conindid
    join pg_class x on x.oid = k.conindid
    where k.connamespace = 'public'::regnamespace and k.contype in ('p', 'u', 'x')
    order by k.conrelid::regclass::text, 1
"""
BARE = """
    select count(*)
    from pg_index i
    where i.indisunique
      and i.indrelid = 'kinds'::regclass
      and not exists (select from pg_constraint k where k.conindid = i.indexrelid)
"""


def cut_short_before_adoption(road: Roads, patch: pytest.MonkeyPatch) -> Road:
    """Give a migration whose indexes are there, and of which those that are to be keys are not keys yet."""
    patch.setattr(indexes, "SMALL", 0)
    moved = road("", setup="")
    small.load(moved.source, rows=10)
    moved.on_source(KEYS_OF_ALL_KINDS)
    moved.plan()
    found = indexes.by_index

    def without_adoption(*given: Any) -> dict[str, Key]:
        return {
            name: replace(key, adoption="select 1/0") if "kinds" in key.adoption else key
            for name, key in found(*given).items()
        }

    with patch.context() as own:
        own.setattr(indexes, "by_index", without_adoption)
        assert "division by zero" in moved.refuse(StepFailed, 5, "replicating")
    # The first three; what is more than a key came as it is.
    assert moved.on_destination(BARE) == [(3,)]
    return moved


def test_keys_are_built_beside_the_other_indexes_and_are_the_same(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = cut_short_before_adoption(road, monkeypatch)
    moved.advance("replicating")
    assert moved.on_destination(DEFINED) == moved.on_source(DEFINED)
    assert moved.on_destination(BARE) == moved.on_source(BARE)
    moved.complete()


def test_an_index_that_is_no_key_yet_is_not_taken_for_one_and_is_taken_away(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = cut_short_before_adoption(road, monkeypatch)
    monkeypatch.undo()
    moved.rollback("planned")
    assert small.leftovers(moved.source, moved.destination) == []
    moved.advance("replicating")
    assert moved.on_destination(DEFINED) == moved.on_source(DEFINED)


def test_an_index_of_a_large_table_becomes_its_key_when_little_else_is_left(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = cut_short_before_adoption(road, monkeypatch)
    # The table is a large one, and what is left of it is put together with others.
    monkeypatch.setattr(indexes, "SMALL", 600_000)
    moved.advance("replicating")
    assert moved.on_destination(DEFINED) == moved.on_source(DEFINED)
