"""The demo's sample database: a shop, about a million rows, most of what real databases have."""

from __future__ import annotations

from importlib import resources
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from typing import LiteralString

# What the writer may pick from: the sample holds rows 1 to these.
CUSTOMERS = 60_000
PRODUCTS = 10_000
ORDERS = 160_000

ROLES: LiteralString = """
do $$
declare
    wanted text;
begin
    foreach wanted in array array['shop_owner', 'shop_app', 'shop_reporting'] loop
        if not exists (select from pg_roles where rolname = wanted) then
            execute format('create role %I', wanted);
        end if;
    end loop;
end $$
"""


def create_roles(url: str) -> None:
    """Create the roles that the sample's owners and grants name, where they do not exist."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ROLES)


def load(url: str) -> None:
    """Load the sample into an empty database, roles included, in one transaction."""
    create_roles(url)
    script = resources.files("migrator.demo").joinpath("sample.sql").read_bytes()
    with psycopg.connect(url, client_encoding="utf8") as connection:
        connection.execute(script)
    # Outside the load's transaction: it needs what was committed.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
