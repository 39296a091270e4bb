"""The proof finds what differs, and the sample is what it says it is."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from migrator.demo import sample
from migrator.demo.proof import compare, compare_all
from migrator.demo.transactions import create_ledger, order_transaction
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer

SCHEMA = """
create schema "Odd % schema";
create table "Odd % schema"."t.1" (id int primary key, "per cent %%s" text, at timestamptz);
create table parent (id int);
create table child () inherits (parent);
create table no_columns ();
create sequence s;
create sequence down increment -1;
create materialized view m as select 1 as one;
insert into "Odd % schema"."t.1" select n, n::text, to_timestamp(n) from generate_series(1, 100) n;
insert into parent values (1), (1);
insert into child values (2);
insert into no_columns default values;
create schema migrator_x;
create table migrator_x.heartbeat (n int);
"""


@pytest.fixture
def both(source_database: str, destination_database: str) -> tuple[str, str]:
    for url in (source_database, destination_database):
        with connect(url) as connection:
            connection.execute(SCHEMA)
    return source_database, destination_database


def test_equal_databases_have_no_difference(both: tuple[str, str]) -> None:
    with connect(both[1]) as connection:
        connection.execute("alter role postgres set timezone = 'Asia/Tokyo'")
        connection.execute("insert into migrator_x.heartbeat values (1)")
        connection.execute("select nextval('s'), nextval('down')")
        connection.execute('create table again as select * from "Odd % schema"."t.1"')
        connection.execute('truncate "Odd % schema"."t.1"')
        connection.execute('insert into "Odd % schema"."t.1" select * from again order by id desc')
        connection.execute("drop table again")
    try:
        result = compare_all(*both)
    finally:
        with connect(both[1]) as connection:
            connection.execute("alter role postgres reset timezone")
    assert result.differences == []
    assert (result.tables, result.rows) == (4, 104)


@pytest.mark.parametrize(
    ("change", "name", "detail"),
    [
        ('delete from "Odd % schema"."t.1" where id = 7', "Odd % schema.t.1", "99 on the dest"),
        ('insert into "Odd % schema"."t.1" values (101)', "Odd % schema.t.1", "101 on the dest"),
        (
            'update "Odd % schema"."t.1" set "per cent %%s" = null where id = 7',
            "Odd % schema.t.1",
            "different content",
        ),
        ("update child set id = 1", "public.child", "different content"),
        ("insert into parent values (1)", "public.parent", "2 rows on the source, 3"),
        ("insert into no_columns default values", "public.no_columns", "1 rows on the source, 2"),
        ("drop table no_columns", "public.no_columns", "missing on the destination"),
        ("create table extra ()", "public.extra", "only on the destination"),
        ("drop materialized view m", "public.m", "missing on the destination"),
        ("drop sequence s", "public.s", "missing on the destination"),
        ("alter table parent add more int", "public.parent", "columns"),
    ],
)
def test_a_change_on_the_destination_is_found(
    both: tuple[str, str], change: str, name: str, detail: str
) -> None:
    with connect(both[1]) as connection:
        connection.execute(change)
    found = {difference.name: difference for difference in compare(*both)}
    assert name in found
    assert detail in found[name].detail
    assert found.keys() <= {name, "public.child"}


@pytest.mark.parametrize("sequence", ["s", "down"])
def test_a_sequence_that_is_behind_is_found(both: tuple[str, str], sequence: str) -> None:
    with connect(both[0]) as connection:
        connection.execute("select nextval(%s)", [sequence])
    (found,) = compare(*both)
    assert found.name == f"public.{sequence}"
    assert "behind" in str(found)


def test_tokens_set_aside_do_not_count(both: tuple[str, str], writer: Callable[..., Writer]) -> None:
    for url in both:
        create_ledger(url)
    busy = writer(both[1])
    busy.wait_for(10)
    busy.stop()
    (found,) = compare(*both)
    assert found.name == "public.ledger"
    assert compare(*both, set_aside={"public.ledger": busy.acknowledged}) == []
    (found,) = compare(*both, set_aside={"public.ledger": list(busy.acknowledged)[1:]})
    assert found.detail == "0 rows on the source, 1 on the destination"


def test_the_sample_is_the_same_at_every_load_and_can_be_written_to(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    writer: Callable[..., Writer],
) -> None:
    sizes = sample.Sizes.about(100_000)
    sample.load(source_database, sizes)
    sample.load(destination_database, sizes)
    result = compare_all(source_database, destination_database)
    assert result.differences == []
    assert 90_000 < result.rows < 120_000
    with connect(source_database) as connection:
        unusable = connection.execute(
            """
            select c.oid::regclass::text
              from pg_class c
             where c.relkind in ('r', 'p')
               and c.relnamespace not in ('pg_catalog'::regnamespace,
                                          'information_schema'::regnamespace)
               and c.relreplident = 'd'
               and not exists (
                   select from pg_index where indrelid = c.oid and indisprimary
               )
            """
        ).fetchall()
        assert unusable == []
    busy = writer(source_database, partial(order_transaction, sizes=sizes), per_second=1000)
    busy.wait_for(300)
    busy.stop()
    assert busy.errors.keys() <= {"40P01"}
    assert {difference.name for difference in compare(source_database, destination_database)} >= {
        "public.ledger",
        "shop.orders",
        "shop.order_lines",
        "shop.customers",
        "shop.customer_history",
    }
