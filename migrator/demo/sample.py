"""The demo's sample database: a shop, about a million rows, most of what real databases have."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import resources
from typing import TYPE_CHECKING, Self

import psycopg

if TYPE_CHECKING:
    from typing import LiteralString

ABOUT_ROWS = 1_000_000


@dataclass(frozen=True)
class Sizes:
    """How many rows the sample's large tables have: those with these numbers, from 1 on."""

    customers: int = 60_000
    products: int = 10_000
    orders: int = 160_000
    events: int = 300_000
    visits: int = 60_000

    @classmethod
    def about(cls, rows: int) -> Self:
        """Return the sizes of a sample with about ``rows`` rows in all."""
        return cls(*(max(size * rows // ABOUT_ROWS, 1) for size in asdict(cls()).values()))


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


def load(url: str, sizes: Sizes | None = None) -> None:
    """Load the sample into an empty database, roles included, in one transaction."""
    create_roles(url)
    script = resources.files("migrator.demo").joinpath("sample.sql").read_text(encoding="utf-8")
    for name, size in asdict(sizes or Sizes()).items():
        script = script.replace(f":{name}", str(size))
    with psycopg.connect(url, client_encoding="utf8") as connection:
        connection.execute(script.encode())
    # Outside the load's transaction: it needs what was committed.
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("vacuum analyze")
