"""Measure the initial copy against the floor, the scripts' way, and pgcopydb.

    python bench/copy.py [--size 1.6] [--dominant] [--rounds 3] [--jobs 2] [--json FILE]
                         [--peer pgcopydb=PATH] [--only NAME ...]

Builds a mixed database of about ``--size`` GB on an embedded server, then copies it to a second one of
the same major, each way in turn, ``--rounds`` times:

floor      CPU seconds of the servers' own work done one piece at a time (COPY out, COPY in with FREEZE,
           indexes, constraints, ANALYZE), divided by the cores
scripts    ``pg_dump -s | psql``, ``create subscription``, until every table is ready
pgcopydb   ``pgcopydb clone`` with the same jobs (``--peer``, or on PATH; left out where there is none)
migrator   ``migrator advance --to replicating``

and prints medians and ratios; ``ratios`` maps floor, scripts and pgcopydb to migrator's time over theirs.
"""

from __future__ import annotations

import sys

sys.path.pop(0)  # this directory, whose copy.py would stand for the standard library's

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import time
from datetime import datetime
from pathlib import Path

import psycopg

from migrator.demo.servers import EmbeddedServer, find_binaries, work_directory

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
SETTINGS = {
    "fsync": "off",
    "max_wal_size": "8GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
}


def build(url: str, size: float, *, dominant: bool) -> None:
    """Fill the source."""
    counts = {name: int(n * size) for name, n in ROWS_PER_GB.items()}
    if dominant:
        counts = {name: max(n // 20, 1000) for name, n in counts.items()}
        counts["lines"] = int(8_000_000 * size)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SCHEMA)
        connection.execute(FILL.format(**counts))
        connection.execute(INDEXES)
        connection.execute("vacuum analyze")
        connection.execute("checkpoint")


def cpu(server: EmbeddedServer) -> float:
    """Return the CPU seconds that a server's processes, living and dead, have used."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat.parent.name == str(server.pid):
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == server.pid:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


class Bench:
    """Two servers and the ways from one to the other; each way returns its seconds."""

    def __init__(self, source: EmbeddedServer, destination: EmbeddedServer, jobs: int, pgcopydb: str | None):
        self.source, self.destination = source, destination
        self.jobs, self.program = jobs, pgcopydb
        self.url = source.create_database("bench")
        self.tools = destination.bin_dir
        self.parts: dict[str, float] = {}
        self.memory = 0.0

    def run(self, *words: object, **options: object) -> bytes:
        """Run a program; what it says matters only when it fails."""
        done = subprocess.run([str(w) for w in words], capture_output=True, **options)  # type: ignore[call-overload]
        if done.returncode != 0:
            sys.exit(f"{words[0]} failed: {done.stderr.decode()[-2000:]}")
        return done.stdout

    def floor(self) -> float:
        """Do the servers' own work one piece at a time."""
        target = self.destination.create_database("floor")
        before = cpu(self.source) + cpu(self.destination)
        dump = [self.tools / "pg_dump", "-s", self.url]
        self.run(self.tools / "psql", "-qX", target, input=self.run(*dump, "--section=pre-data"))
        with psycopg.connect(self.url) as here, psycopg.connect(target, autocommit=True) as there:
            tables = here.execute("select relname from pg_stat_user_tables").fetchall()
            for (table,) in tables:
                with there.transaction():
                    there.execute(f"truncate {table}")
                    with (
                        here.cursor().copy(f"copy {table} to stdout (format binary)") as out,
                        there.cursor().copy(f"copy {table} from stdin (format binary, freeze)") as into,
                    ):
                        for block in out:
                            into.write(block)
        self.run(self.tools / "psql", "-qX", target, input=self.run(*dump, "--section=post-data"))
        self.run(self.tools / "psql", "-qX", target, "-c", "analyze")
        return (cpu(self.source) + cpu(self.destination) - before) / (os.cpu_count() or 1)

    def scripts(self) -> float:
        """Copy as the shell scripts did."""
        target = self.destination.create_database("scripts")
        started = time.monotonic()
        dump = self.run(self.tools / "pg_dump", "-Osx", self.url)
        self.run(self.tools / "psql", "-qX", target, input=dump)
        with psycopg.connect(self.url, autocommit=True) as here:
            here.execute("create publication scripts for all tables")
        unready = "select exists (select from pg_subscription_rel where srsubstate <> 'r')"
        with psycopg.connect(target, autocommit=True) as there:
            there.execute(f"create subscription scripts connection '{self.url}' publication scripts")
            while there.execute(unready).fetchone() != (False,):
                time.sleep(0.05)
            took = time.monotonic() - started
            there.execute("drop subscription scripts")
        with psycopg.connect(self.url, autocommit=True) as here:
            here.execute("drop publication scripts")
        return took

    def pgcopydb(self) -> float:
        """Copy with ``pgcopydb clone``; 0 jobs means its defaults."""
        target = self.destination.create_database("pgcopydb")
        jobs = ["--table-jobs", self.jobs, "--index-jobs", self.jobs] if self.jobs else []
        with work_directory("bench") as directory:
            started = time.monotonic()
            self.run(
                *(self.program, "clone", "--source", self.url, "--target", target),
                *("--dir", directory / "work", *jobs),
                env={**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}"},
            )
            return time.monotonic() - started

    def migrator(self) -> float:
        """Copy with migrator, to a live stream."""
        target = self.destination.create_database("migrator")
        with work_directory("bench") as directory:
            config = directory / "migrator.toml"
            config.write_text(
                f'[migration]\nname = "bench"\n[source]\nurl = "{self.url}"\n'
                f'[destination]\nurl = "{target}"\n'
            )
            migrator = [sys.executable, "-m", "migrator", "--config", config, "--yes"]
            self.run(*migrator, "plan")
            started = time.monotonic()
            self.run(*migrator, "advance", "--to", "replicating")
            took = time.monotonic() - started
            self.memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            history = json.loads(self.run(*migrator, "--json", "history"))
            self.parts = {a["step"]: seconds(a) for a in history["attempts"] if seconds(a) > 0.1}
            self.run(*migrator, "rollback-to", "planned")
        return took


def seconds(attempt: dict[str, str]) -> float:
    """Return how long a step took."""
    started, finished = (datetime.fromisoformat(attempt[k]) for k in ("started_at", "finished_at"))
    return round((finished - started).total_seconds(), 2)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1.6)
    parser.add_argument("--dominant", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--only", nargs="*", default=["floor", "scripts", "pgcopydb", "migrator"])
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    program = dict(p.split("=", 1) for p in options.peer).get("pgcopydb") or shutil.which("pgcopydb")
    ways = [way for way in options.only if way != "pgcopydb" or program]
    samples: dict[str, list[float]] = {way: [] for way in ways}
    binaries = find_binaries(options.major)
    with (
        work_directory("bench") as directory,
        EmbeddedServer(binaries, directory / "source", settings=SETTINGS) as source,
        EmbeddedServer(binaries, directory / "destination", settings=SETTINGS) as destination,
    ):
        bench = Bench(source, destination, options.jobs, program)
        build(bench.url, options.size, dominant=options.dominant)
        with psycopg.connect(bench.url) as connection:
            size = connection.execute("select pg_database_size(current_database()) >> 20").fetchone()
        print(f"{size[0] if size else 0} MB, PostgreSQL {options.major}, {os.cpu_count()} cores")
        for number in range(1, options.rounds + 1):
            for way in ways:
                samples[way].append(getattr(bench, way)())
                destination.drop_database(way)
                print(f"round {number}  {way:9} {samples[way][-1]:7.2f} s", flush=True)
    medians = {way: round(statistics.median(values), 2) for way, values in samples.items()}
    ratios = {
        way: round(medians["migrator"] / median, 3)
        for way, median in medians.items()
        if way != "migrator" and "migrator" in medians
    }
    print(f"medians {medians}\nratios {ratios}\nmigrator's parts {bench.parts}")
    print(f"memory of the largest process {bench.memory:.0f} MB")
    if options.json:
        told = {"ratios": ratios, "medians": medians, "samples": samples, "parts": bench.parts}
        options.json.write_text(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
