"""Measure what a migration of very many small tables costs per table.

    python bench/tables.py [--tables 10000] [--major 17] [--json FILE] [--profile FILE]

Each table has an identity column with its sequence, a primary key, one more index, and ten rows. Figures:

per_table_ms            ``migrator advance --to replicating`` over the number of tables
dump_restore_ms         the same of ``pg_dump -Fc`` and ``pg_restore -j 2``, one after the other
over_dump_restore       the one over the other
cpu_over_dump_restore   the same in CPU seconds, servers and programs together: told apart from a busy machine
memory_mb               peak of migrator's own process in any of its commands; its children's (pg_dump,
                        pg_restore) are in ``children``
plan_seconds            ``migrator plan``, which is the preflight
status_seconds          ``migrator status`` while replicating, median of five
"""

from __future__ import annotations

import sys

sys.path[0] += "/.."  # the repository; this directory's copy.py would stand for the standard library's

import argparse
import os
import statistics
from pathlib import Path

import psycopg

from bench.lab import Migrator, Ran, cpu, run, tell, two_servers
from migrator.demo.servers import work_directory

CREATE = """
create table table_{0} (
    id bigint generated always as identity primary key,
    name text not null,
    at timestamptz not null default now()
);
create index on table_{0} (name);
insert into table_{0} (name) select md5(i::text) from generate_series(1, 10) i;
"""
AT_ONCE = 200
# A transaction that makes or dumps all tables holds a lock on each of their relations.
LOCKS_PER_TABLE = 8
CONNECTIONS = 100


def build(url: str, tables: int) -> None:
    """Fill the source."""
    with psycopg.connect(url, autocommit=True) as connection:
        for first in range(0, tables, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, tables))
            connection.execute("".join(CREATE.format(n) for n in numbers))
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tables", type=int, default=10_000)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="where cProfile writes what advance did")
    options = parser.parse_args()
    locks = max(256, options.tables * LOCKS_PER_TABLE // CONNECTIONS)
    with (
        work_directory("bench") as directory,
        two_servers(options.major, {"max_locks_per_transaction": str(locks)}) as (source, destination),
    ):
        url = source.create_database("bench")
        build(url, options.tables)
        print(f"{options.tables} tables, PostgreSQL {options.major}, {os.cpu_count()} cores", flush=True)

        tools, archive = destination.bin_dir, directory / "archive"
        target = destination.create_database("restored")

        def servers() -> float:
            return cpu(source) + cpu(destination)

        before = servers()
        dumped = run(tools / "pg_dump", "-Fc", "-f", archive, url)
        restored = run(tools / "pg_restore", "-j", 2, "-d", target, archive)
        used = {"dump_restore": servers() - before + dumped.cpu + restored.cpu}
        destination.drop_database("restored")
        print(f"pg_dump {dumped.seconds:.2f} s, pg_restore {restored.seconds:.2f} s", flush=True)

        migrator = Migrator(directory, url, destination.create_database("migrated"))
        ran: dict[str, Ran] = {}
        ran["plan"] = migrator.run("plan")
        print(f"plan {ran['plan'].seconds:.2f} s", flush=True)
        before = servers()
        ran["advance"] = migrator.run("advance", "--to", "replicating", profile=options.profile)
        used |= {"migrator": servers() - before + ran["advance"].cpu}
        print(f"advance {ran['advance'].seconds:.2f} s", flush=True)
        status = [migrator.run("status") for _ in range(5)]
        ran["status"] = status[0]
        ran["progress"] = migrator.run("progress")
        parts = migrator.parts()
        ran["rollback-to"] = migrator.run("rollback-to", "planned")
    each = {"migrator": ran["advance"].seconds, "dump_restore": dumped.seconds + restored.seconds}
    tell(
        options.json,
        figures={
            "per_table_ms": round(each["migrator"] / options.tables * 1000, 2),
            "dump_restore_ms": round(each["dump_restore"] / options.tables * 1000, 2),
            "over_dump_restore": round(each["migrator"] / each["dump_restore"], 3),
            "cpu_over_dump_restore": round(used["migrator"] / used["dump_restore"], 3),
            "memory_mb": round(max(r.memory for r in ran.values())),
            "plan_seconds": round(ran["plan"].seconds, 2),
            "status_seconds": round(statistics.median(r.seconds for r in status), 2),
        },
        samples={
            "seconds": {name: round(r.seconds, 2) for name, r in ran.items()},
            "cpu": {name: round(seconds, 2) for name, seconds in used.items()}
            | {f"of {name}": round(r.cpu, 2) for name, r in ran.items()},
            "memory": {name: round(r.memory) for name, r in ran.items()},
            "children": {name: round(size) for name, size in ran["advance"].children.items()},
            "status": [round(r.seconds, 3) for r in status],
            "dump": round(dumped.seconds, 2),
            "restore": round(restored.seconds, 2),
        },
        parts=parts,
    )


if __name__ == "__main__":
    main()
