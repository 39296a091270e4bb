"""Measure what the checks of very many tables cost.

    python bench/check.py [--tables 10000] [--major 17] [--rounds 3] [--json FILE] [--profile FILE]

Of twenty tables seventeen stand alone and three are partitions of one root, which is beside them. Each has an
identity column with its sequence, a primary key, one more index, a trigger and a check; some have what checks
find: no key, a full identity, an unlogged table, a sequence of a narrow column, a function without a schema.
Figures:

check_seconds           ``migrator check`` before anything is planned, as a user runs it, median of the rounds
tables                  how many there were
memory_mb               peak of migrator's process
"""

from __future__ import annotations

import sys

sys.path[0] += "/.."  # the repository; this directory's copy.py would stand for the standard library's

import argparse
import json
import os
import statistics
from pathlib import Path

import psycopg

from bench.lab import Migrator, cpu, tell, two_servers
from migrator.demo.servers import work_directory

BLOCKED = 4
EACH = """
create table table_{0} (
    id int generated always as identity primary key,
    name text not null check (name <> ''),
    total numeric generated always as (doubled(2)) stored,
    at timestamptz not null default now()
) {1};
create index on table_{0} (name);
create trigger touch before update on table_{0} for each row execute function touch();
"""
PARTED = """
create table root_{0} (id bigint generated always as identity, at int, primary key (id, at))
    partition by range (at);
create index on root_{0} (at);
create table table_{1} partition of root_{0} for values from (0) to (10);
create table table_{2} partition of root_{0} for values from (10) to (20);
create table table_{3} partition of root_{0} default;
"""
# Each of these is what some check finds.
TROUBLE = (
    "alter table table_{0} drop constraint table_{0}_pkey",
    "alter table table_{0} drop constraint table_{0}_pkey; alter table table_{0} replica identity full",
    "alter table table_{0} set unlogged",
    "alter table table_{0} enable always trigger touch",
)
FUNCTIONS = """
create function touch() returns trigger language plpgsql as 'begin return new; end';
create function twice(n numeric) returns numeric language sql immutable as 'select n * 2';
create function doubled(n numeric) returns numeric language sql immutable
    as 'select public.twice(n)';
"""
TWENTY, ALONE, TROUBLED_EVERY, AT_ONCE = 20, 17, 500, 200
LOCKS_PER_TABLE, CONNECTIONS = 8, 100


def build(url: str, tables: int) -> None:
    """Fill the source."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(FUNCTIONS.encode())
        statements: list[str] = []
        for n in range(tables):
            place = n % TWENTY
            if place < ALONE or n - place + TWENTY > tables:
                statements.append(EACH.format(n, ""))
                if n % TROUBLED_EVERY == 0:
                    statements.append(TROUBLE[n // TROUBLED_EVERY % len(TROUBLE)].format(n) + ";")
            elif place == ALONE:
                statements.append(PARTED.format(n, n, n + 1, n + 2))
            if len(statements) >= AT_ONCE or n == tables - 1:
                connection.execute("".join(statements).encode())
                statements.clear()
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="where cProfile writes what one more check did")
    options = parser.parse_args()
    locks = max(256, options.tables * LOCKS_PER_TABLE // CONNECTIONS)
    with (
        work_directory("bench") as directory,
        two_servers(options.major, {"max_locks_per_transaction": str(locks)}) as (source, destination),
    ):
        url = source.create_database("bench")
        build(url, options.tables)
        print(f"{options.tables} tables, PostgreSQL {options.major}, {os.cpu_count()} cores", flush=True)
        migrator = Migrator(directory, url, destination.create_database("bench"))
        used = cpu(source) + cpu(destination)
        ran = [migrator.run("--json", "check", accepted=(BLOCKED,)) for _ in range(options.rounds)]
        used = cpu(source) + cpu(destination) - used
        report = json.loads(ran[0].output)
        if options.profile:
            migrator.run("check", profile=options.profile, accepted=(0, BLOCKED))
    tell(
        options.json,
        figures={
            "check_seconds": round(statistics.median(r.seconds for r in ran), 2),
            "tables": options.tables,
            "memory_mb": round(max(r.memory for r in ran)),
        },
        samples={
            "seconds": [round(r.seconds, 2) for r in ran],
            "cpu": [round(r.cpu, 2) for r in ran],
            "cpu_of_servers": round(used / options.rounds, 2),
            "checks": report["checks"],
            "findings": len(report["findings"]),
        },
    )


if __name__ == "__main__":
    main()
