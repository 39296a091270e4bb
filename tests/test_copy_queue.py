"""Indexes, statistics and foreign keys come during the copy, each as soon as its tables have come so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrator.copy import foreign_keys, indexes
from migrator.demo.proof import compare
from migrator.errors import StepFailed
from migrator.step import load_step
from migrator.workflow import EVERY_STEP
from tests.fixtures.road import Road, before

if TYPE_CHECKING:
    from collections.abc import Callable

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
