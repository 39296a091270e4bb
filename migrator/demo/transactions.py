"""What the writer does in one transaction, up to but without the COMMIT."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg

from migrator.demo.sample import Sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

FULL = Sizes()
Connection = psycopg.Connection[tuple[Any, ...]]
Transaction = Callable[[Connection, UUID, Random], None]

LEDGER = """
create table if not exists ledger (
    id bigint generated always as identity primary key,
    token uuid not null unique,
    amount int,
    at timestamptz not null default clock_timestamp()
)
"""

NEW_ORDER = """
with placed as (
    insert into shop.orders (customer_id, note)
    values (%(customer)s, %(note)s)
    returning id
)
insert into shop.order_lines (order_id, line, product_id, quantity, price)
select placed.id, line, 1 + (%(product)s + line) %% %(products)s, line, 9.99
  from placed, generate_series(1, %(lines)s) line
"""

CHANGES: Sequence[str] = (
    "update shop.orders set status = 'shipped' where id = %(order)s",
    "update shop.customers set profile = profile || '{\"seen\": true}' where id = %(customer)s",
    "update shop.visits set page = '/again' where visitor = md5(%(visit)s)::uuid",
    "delete from shop.visits where visitor = md5(%(visit)s)::uuid",
    "delete from shop.orders where id = %(order)s",
    "update shop.events set at = at + interval '90 days' where id = %(event)s",
    "insert into shop.support_tickets (question) values (%(note)s)",
    "select nextval('shop.invoice_numbers')",
)

NEW_EVENT = """
insert into shop.events (at, customer_id, kind)
values (now(), %(customer)s, 'order')
"""

NEW_TOKEN = "insert into public.ledger (token, amount) values (%s, %s)"


def create_ledger(url: str) -> None:
    """Create the table that ``ledger_transaction`` writes to."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(LEDGER)


def ledger_transaction(connection: Connection, token: UUID, dice: Random) -> None:
    """Insert the token and nothing else."""
    connection.execute(NEW_TOKEN, (token, dice.randrange(1000)))


def order_transaction(connection: Connection, token: UUID, dice: Random, sizes: Sizes = FULL) -> None:
    """Do what a shop does: an order with lines, an event, a change of something old, the token."""
    values = {
        "customer": dice.randint(1, sizes.customers),
        "product": dice.randint(1, sizes.products),
        "products": sizes.products,
        "order": dice.randint(1, sizes.orders),
        "event": dice.randint(1, sizes.events),
        "visit": str(dice.randint(0, sizes.visits // 3)),
        "lines": dice.randint(1, 4),
        "note": f"by the writer: {token}",
    }
    connection.execute(NEW_ORDER, values)
    connection.execute(NEW_EVENT, values)
    connection.execute(dice.choice(CHANGES), values)
    ledger_transaction(connection, token, dice)
