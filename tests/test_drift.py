"""A schema that has changed on one side only stops the cutover, and the operator may accept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from migrator.connections import reading
from migrator.errors import GateClosed
from migrator.events import ignore
from migrator.switchover import drift
from tests.fixtures import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

# What is changed, on the source, and what the message calls it.
CHANGES = {
    "alter table products alter price set default 7": "columns of public.products (changed on the source)",
    "alter table products add check (price > -9)": "constraints of public.products (changed on the source)",
    "alter table products enable row level security":
        "relation public.products (changed on the source)",
    "create policy mine on products using (true)": "policies of public.products (not on the destination)",
    "alter table customers disable trigger touch": "triggers of public.customers (changed on the source)",
    "create rule also as on update to products do also select 1":
        "rules of public.products (not on the destination)",
    "create or replace function touch() returns trigger language plpgsql as 'begin return new; end'":
        "function public.touch() (changed on the source)",
    "create view cheap as select * from products": "relation public.cheap (not on the destination)",
    "alter type color add value 'black'": "type public.color (changed on the source)",
    "alter sequence invoice_numbers increment 3": "sequence public.invoice_numbers (changed on the source)",
    "grant select on products to public": "grants on public.products (changed on the source)",
    "revoke execute on function touch() from public": "grants on public.touch() (changed on the source)",
}  # fmt: skip


@pytest.fixture(scope="module")
def roles(source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer) -> Iterator[None]:
    for server in (source_cluster, destination_cluster):
        schema.create_roles(server)
    yield
    for server in (source_cluster, destination_cluster):
        schema.drop_roles(server)


def test_each_kind_of_change_on_one_side_closes_the_gate_and_is_named(road: Roads) -> None:
    moved = road("seq_synced")
    for change in CHANGES:
        moved.on_source(change)
    message = moved.refuse(GateClosed, 4)
    assert "the schemas have gone apart since the copy" in message
    record = moved.app.journal().load(moved.app.name)
    with reading(moved.app.config, record, ignore) as ctx:
        apart = drift.find(ctx).apart
    comes_along = {"columns of public.cheap", "grants on public.cheap"}
    assert {told for told in apart if told.split(" (")[0] not in comes_along} == {*CHANGES.values()}


def test_a_change_made_on_both_sides_is_none(road: Roads) -> None:
    moved = road("seq_synced")
    for change in CHANGES:
        moved.on_source(change)
        moved.on_destination(f"set default_transaction_read_only = off; {change}")
    moved.complete()


def test_what_is_on_the_destination_alone_is_accepted_by_a_refresh(road: Roads) -> None:
    moved = road("seq_synced")
    moved.on_destination(
        "set default_transaction_read_only = off; create index extra on products (price);"
        "create function helper() returns int language sql as 'select 1'"
    )
    message = moved.refuse(GateClosed, 4)
    assert "function public.helper() (not on the source)" in message
    assert "indexes of public.products (changed on the destination)" in message
    moved.app.refresh()
    moved.on_destination("set default_transaction_read_only = off; create view later as select 1 as one")
    assert "helper" not in moved.refuse(GateClosed, 4)
    moved.on_destination("set default_transaction_read_only = off; drop view later")
    moved.complete()


def test_the_application_changes_its_schema_after_the_cutover_as_it_likes(road: Roads) -> None:
    moved = road("cutover")
    moved.on_destination("create index extra on products (price)")
    moved.rollback("seq_synced")
    assert "indexes of public.products" in moved.refuse(GateClosed, 4)


def test_a_schema_of_nearly_everything_has_not_gone_apart_after_the_copy(
    road: Roads, roles: None, source_database: str
) -> None:
    schema.load(source_database)
    moved = road("seq_synced", setup="", tables={"unlogged": "copy", "large_objects": "copy"})
    moved.advance("cutover")
