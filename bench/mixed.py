"""A mixed database to copy: wide and narrow rows, JSON, arrays, secondary indexes, foreign keys."""

from __future__ import annotations

import psycopg
from psycopg import sql

SCHEMA = """
create table customers (id bigint primary key, name text not null, email text not null,
    joined date not null, balance numeric(12,2) not null, note text);
create table orders (id bigint primary key, customer_id bigint not null, placed timestamptz not null,
    status text not null, total numeric(12,2) not null, address text not null);
create table lines (id bigint primary key, order_id bigint not null, product int not null,
    quantity int not null, price numeric(10,2) not null, remark text);
create table events (id bigint primary key, at timestamptz not null, kind text not null,
    payload jsonb not null);
create table readings (sensor int not null, at timestamptz not null, value float8 not null,
    flags int not null, primary key (sensor, at));
create table documents (id uuid primary key, title text not null, body text not null,
    tags text[] not null);
create table small_a (id int primary key, v text);
create table small_b (id int primary key, v text);
"""
FILL = """
insert into customers
select i, 'Customer ' || i, md5(i::text) || '@example.org', date '2020-01-01' + (i % 2000)::int,
       i % 10000, repeat('n', (i % 60)::int)
from generate_series(1::bigint, {customers}) i;
insert into orders
select i, 1 + (i * 7919) % {customers}, timestamptz '2023-01-01' + (i || ' s')::interval,
       (array['new','paid','sent','done'])[(1 + i % 4)::int], i % 5000, md5(i::text) || md5((i + 1)::text)
from generate_series(1::bigint, {orders}) i;
insert into lines
select i, 1 + (i * 31) % {orders}, i % 50000, 1 + i % 9, i % 300, md5(i::text)
from generate_series(1::bigint, {lines}) i;
insert into events
select i, timestamptz '2024-01-01' + (i || ' s')::interval, 'kind' || i % 40,
       jsonb_build_object('id', i, 'hash', md5(i::text), 'n', i % 97, 'x', repeat('x', (i % 90)::int))
from generate_series(1::bigint, {events}) i;
insert into readings
select i % 500, timestamptz '2024-01-01' + (i || ' s')::interval, i * 0.37, i % 16
from generate_series(1::bigint, {readings}) i;
insert into documents
select md5(i::text)::uuid, 'Title ' || i, repeat(md5(i::text), 20), array['a' || i % 9, 'b' || i % 7]
from generate_series(1::bigint, {documents}) i;
insert into small_a select i, md5(i::text) from generate_series(1::bigint, 20000) i;
insert into small_b select i, md5(i::text) from generate_series(1::bigint, 20000) i;
"""
INDEXES = """
create index on customers (email);
create index on orders (customer_id);
create index on orders (placed);
create index on orders (status, placed);
create index on lines (order_id);
create index on lines (product);
create index on events (at);
create index on events (kind, at);
create index on readings (at);
create index on documents (title);
create index on customers (joined);
alter table orders add foreign key (customer_id) references customers;
alter table lines add foreign key (order_id) references orders;
"""
ROWS_PER_GB = {
    "customers": 500_000,
    "orders": 1_100_000,
    "lines": 3_200_000,
    "events": 1_000_000,
    "readings": 2_800_000,
    "documents": 140_000,
}
DOMINANT_ROWS_PER_GB = {name: max(n // 20, 1000) for name, n in ROWS_PER_GB.items()} | {"lines": 8_000_000}

# What a copy must have; a way that leaves something out is not measured.
SHAPE = """
select (select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid
           where i.indisvalid and c.relnamespace = 'public'::regnamespace),
       (select count(*) from pg_constraint where contype in ('p', 'f') and convalidated
           and connamespace = 'public'::regnamespace)
"""
COUNT = sql.SQL("select count(*) from {}")


def rows(size: float, *, dominant: bool) -> dict[str, int]:
    """Return how many rows each table gets in a database of ``size`` GB."""
    per_gb = DOMINANT_ROWS_PER_GB if dominant else ROWS_PER_GB
    return {name: max(int(n * size), 100) for name, n in per_gb.items()}


def build(url: str, size: float, *, dominant: bool) -> int:
    """Fill a database with about ``size`` GB; return how many MB it became."""
    counts = rows(size, dominant=dominant)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(FILL.format(**counts))
        connection.execute(INDEXES)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")
        row = connection.execute("select pg_database_size(current_database()) >> 20").fetchone()
    return row[0] if row else 0


def require_whole(source: str, copied: str, *, rows: bool = True) -> None:
    """End the bench when a copy lacks indexes, constraints or rows."""
    found = []
    for url in (source, copied):
        with psycopg.connect(url) as connection:
            seen = list(connection.execute(SHAPE).fetchone() or ())
            for table in ROWS_PER_GB if rows else ():
                seen += connection.execute(COUNT.format(sql.Identifier(table))).fetchone() or ()
            found.append(seen)
    if found[0] != found[1]:
        raise SystemExit(f"the copy is not whole: {found[1]} where the source has {found[0]}")
