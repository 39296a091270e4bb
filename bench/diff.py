"""Measure the comparison of rows: how fast it is, and that it is right while rows are written.

    python bench/diff.py [--size 1.6] [--rounds 3] [--peer pgcopydb=PATH] [--json FILE]
                         [--runs 20] [--planted 5] [--load 1000] [--only speed|truth]

A mixed database of about ``--size`` GB is migrated as far as ``replicating``. Then, warm, ``--rounds`` times:

count_star  ``select count(*)`` of every table that is compared, the source's and the destination's, one
            after the other, on one core
one         ``migrator diff --jobs 1``: one scan at a time, of either side
two         ``migrator diff --jobs 2``
pgcopydb    ``pgcopydb compare data`` with its defaults (``--peer``, or on PATH; left out where there is none)

``ratios``: ``count_star`` is one job over ``count(*)`` of both sides (``count_star_of_one`` over that of the
source alone), ``two_jobs`` two jobs over one, ``pgcopydb`` two jobs over pgcopydb's (medians of the whole
program's time).

Then ``--load`` transactions a second write to the tables compared, and ``--runs`` times ``--planted`` rows
are changed, taken or added on the destination alone; ``migrator diff`` must tell these and all that were
planted before. ``figures``: ``false`` is how many rows it told that were not planted, ``missed`` how many it
did not
tell, ``unresolved`` how many rows it could not decide.
"""

from __future__ import annotations

import sys

sys.path[0] += "/.."  # the repository; this directory's copy.py would stand for the standard library's

import argparse
import json
import os
import shutil
import subprocess
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from bench import lab, load, mixed
from migrator.demo.servers import EmbeddedServer, work_directory
from migrator.switchover.fence import FUNCTION_DOWN

if TYPE_CHECKING:
    from collections.abc import Iterator

TABLES = "select relname from pg_stat_user_tables where schemaname = 'public' order by 1"
STUBBORN = "-c default_transaction_read_only=off -c session_replication_role=replica"
FENCE = """
select pg_get_functiondef(oid), pronamespace::regnamespace::text from pg_proc where proname = 'refuse_write'
"""
# One statement for each kind, by the table and the key that must be told.
PLANT = (
    ("customers", "update customers set email = email || '.' where id = {id}", ("{id}",)),
    ("orders", "delete from orders where id = {id}", ("{id}",)),
    ("lines", "insert into lines values (-{id}, 1, 1, 1, 1, null)", ("-{id}",)),
    ("events", "update events set payload = payload || '{{\"n\": 1.00}}' where id = {id}", ("{id}",)),
    ("customers", "update customers set note = nullif(note, note) where id = {id} + 1", ("{next}",)),
)

Planted = dict[str, set[tuple[str, ...]]]


class Bench:
    """Two servers, one migration in ``replicating``, and the ways to compare its sides."""

    def __init__(
        self,
        source: EmbeddedServer,
        destination: EmbeddedServer,
        directory: Path,
        options: argparse.Namespace,
    ) -> None:
        self.options = options
        self.url, self.target = source.create_database("bench"), destination.create_database("bench")
        self.tools = destination.bin_dir
        self.megabytes = mixed.build(self.url, options.size, dominant=False)
        load.prepare(self.url)
        self.migrator = lab.Migrator(directory, self.url, self.target, 2)
        self.migrator.run("plan")
        self.migrator.run("advance", "--to", "replicating")
        with psycopg.connect(self.target, autocommit=True) as connection:
            connection.execute("vacuum analyze")

    def count_star(self) -> float:
        """Count every table of both sides on one core."""
        return self.count_star_of_one() + self._counted(self.target)

    def count_star_of_one(self) -> float:
        """Count every table of the source on one core."""
        return self._counted(self.url)

    def _counted(self, url: str) -> float:
        with psycopg.connect(url, options="-c max_parallel_workers_per_gather=0") as connection:
            tables = connection.execute(TABLES).fetchall()
            started = time.monotonic()
            for (table,) in tables:
                connection.execute(mixed.COUNT.format(sql.Identifier(table)))
            return time.monotonic() - started

    def one(self) -> float:
        """Compare with one job."""
        return self.migrator.run("diff", "--jobs", "1", "--anew").seconds

    def two(self) -> float:
        """Compare with two jobs."""
        return self.migrator.run("diff", "--jobs", "2", "--anew").seconds

    def pgcopydb(self) -> float:
        """Compare with ``pgcopydb compare data``."""
        with work_directory("bench") as directory:
            return lab.run(
                *(self.options.pgcopydb, "compare", "data"),
                *("--source", self.url, "--target", self.target, "--dir", directory / "work"),
                env={**os.environ, "PATH": f"{self.tools}:{os.environ['PATH']}"},
            ).seconds

    def told(self) -> Any:
        """Compare, whatever comes out, and return the answer."""
        words = self.migrator.words("--json", "diff", "--jobs", "2", "--rows", "10000", "--rounds", "30")
        done = subprocess.run([str(w) for w in words], cwd=lab.ROOT, capture_output=True, check=False)
        try:
            return json.loads(done.stdout)
        except ValueError:
            sys.exit(f"migrator diff failed: {done.stderr.decode()[-2000:]}")

    def plant(self, first: int, count: int) -> Planted:
        """Change rows on the destination alone, none that the load writes to."""
        planted: Planted = defaultdict(set)
        kinds = [PLANT[n % len(PLANT)] for n in range(count)]
        with psycopg.connect(self.target, autocommit=True, options=STUBBORN) as connection:
            ((stands, schema),) = connection.execute(FENCE).fetchall()
            with connection.transaction():
                connection.execute(FUNCTION_DOWN.format(schema=schema))
                for number, (table, statement, key) in enumerate(kinds):
                    values = {"id": first + 2 * number, "next": first + 2 * number + 1}
                    connection.execute(statement.format(**values))
                    planted[f"public.{table}"].add(tuple(part.format(**values) for part in key))
                connection.execute(stands)
        return planted


def speed(bench: Bench) -> dict[str, list[float]]:
    """Time every way, in turn."""
    ways = [
        "count_star",
        "count_star_of_one",
        "one",
        "two",
        *(["pgcopydb"] if bench.options.pgcopydb else []),
    ]
    samples: dict[str, list[float]] = {way: [] for way in ways}
    for warm in range(bench.options.rounds + 1):
        for way in ways:
            seconds = getattr(bench, way)()
            if warm:
                samples[way].append(round(seconds, 2))
                print(f"round {warm}  {way:17} {seconds:7.2f} s", flush=True)
    return samples


def truth(bench: Bench) -> dict[str, float]:
    """Plant differences under load; return what was told wrongly."""
    rows = mixed.rows(bench.options.size, dominant=False)
    half = min(rows["customers"], rows["orders"], rows["events"]) // 2
    figures: dict[str, float] = {"false": 0, "missed": 0, "unresolved": 0, "planted": 0}
    planted: Planted = defaultdict(set)
    pgbench = load.Load(bench.tools / "pgbench", bench.url, bench.options.load, half)
    with pgbench:
        for run in range(bench.options.runs):
            for table, keys in bench.plant(half + 1 + run * 2 * len(PLANT), bench.options.planted).items():
                planted[table] |= keys
                figures["planted"] += len(keys)
            answer = bench.told()
            found = {t["table"]: set(_keys(t)) for t in answer["tables"] if t["different"]}
            wrong = sum(len(keys - planted[table]) for table, keys in found.items())
            missed = sum(len(keys - found.get(table, set())) for table, keys in planted.items())
            figures["false"] += wrong
            figures["missed"] += missed
            figures["unresolved"] += sum(t["unresolved"] for t in answer["tables"])
            told = f"{answer['seconds']:6.2f} s  {answer['verdict']}  {wrong} false, {missed} missed"
            print(f"run {run + 1}  {told}", flush=True)
        reached = pgbench.reached()
    return {**figures, "tps": reached.tps, "failed": reached.failed}


def _keys(table: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for row in table["rows"]:
        yield tuple(row["key"].values())


def _able(program: str | None) -> str | None:
    """Return the program if it is new enough to compare."""
    if program is None:
        return None
    asked = subprocess.run([program, "help"], capture_output=True, text=True, check=False)
    return program if "compare" in asked.stdout + asked.stderr else None


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1.6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--planted", type=int, default=5)
    parser.add_argument("--load", type=int, default=1000, metavar="TPS")
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--only", choices=["speed", "truth"])
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peers = dict(p.split("=", 1) for p in options.peer)
    options.pgcopydb = peers.get("pgcopydb") or _able(shutil.which("pgcopydb"))
    samples: dict[str, list[float]] = {}
    figures: dict[str, float] = {}
    with work_directory("bench") as directory, lab.two_servers(options.major) as (source, destination):
        bench = Bench(source, destination, directory, options)
        print(f"{bench.megabytes} MB, PostgreSQL {options.major}, {os.cpu_count()} cores", flush=True)
        if options.only != "truth":
            samples = speed(bench)
        if options.only != "speed":
            figures = truth(bench)
    medians = lab.medians(samples)
    over = {
        "count_star": ("one", "count_star"),
        "count_star_of_one": ("one", "count_star_of_one"),
        "two_jobs": ("two", "one"),
        "pgcopydb": ("two", "pgcopydb"),
    }
    lab.tell(
        options.json,
        ratios={
            name: round(medians[mine] / medians[theirs], 3)
            for name, (mine, theirs) in over.items()
            if mine in medians and theirs in medians
        },
        figures=figures,
        medians=medians,
        samples=samples,
        megabytes=bench.megabytes,
    )


if __name__ == "__main__":
    main()
