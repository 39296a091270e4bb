"""Measure the initial copy against the floor, the scripts' way, and pgcopydb; and under load.

    python bench/copy.py [--size 1.6] [--dominant] [--rounds 3] [--jobs 2] [--json FILE]
                         [--peer pgcopydb=PATH] [--only NAME ...]
    python bench/copy.py --load 1000

Builds a mixed database of about ``--size`` GB on an embedded server, then copies it to a second one of
the same major, each way in turn, ``--rounds`` times:

floor      CPU seconds of the servers' own work done one piece at a time (COPY out, COPY in with FREEZE,
           indexes, constraints, ANALYZE), divided by the cores
scripts    ``pg_dump -s | psql``, ``create subscription``, until every table is ready
pgcopydb   ``pgcopydb clone`` with the same jobs (``--peer``, or on PATH; left out where there is none)
migrator   ``migrator advance --to replicating``

``ratios`` maps floor, scripts and pgcopydb to migrator's time over theirs (medians). ``--dominant`` makes
one table most of the data and gives pgcopydb its defaults: the ratio is ``pgcopydb_defaults``.

``--load`` copies without load and with that many small transactions a second on the tables being copied.
``figures`` has ``caught_up_over_unloaded``: the time until migrator is done and the source's commits are
seen on the destination within 1 s, for 5 s on end, over the time without load; ``tps`` that were reached
meanwhile, and ``failed`` ones.
"""

from __future__ import annotations

import sys

sys.path[0] += "/.."  # the repository; this directory's copy.py would stand for the standard library's

import argparse
import os
import shutil
import subprocess
import time
from pathlib import Path

import psycopg

from bench import lab, load, mixed
from migrator.demo.servers import EmbeddedServer, work_directory

WAYS = ("floor", "scripts", "pgcopydb", "migrator")
LOADED = ("migrator", "loaded")
UNREADY = "select exists (select from pg_subscription_rel where srsubstate <> 'r')"


class Bench:
    """Two servers and the ways from one to the other; each way returns its seconds."""

    def __init__(
        self, source: EmbeddedServer, destination: EmbeddedServer, options: argparse.Namespace
    ) -> None:
        self.source, self.destination = source, destination
        self.options = options
        self.url = source.create_database("bench")
        self.tools = destination.bin_dir
        self.parts: dict[str, float] = {}
        self.memory: dict[str, float] = {}
        self.tps: list[float] = []
        self.failed = 0

    def restore(self, target: str, *dump_options: str) -> None:
        """Carry schema over with pg_dump and psql."""
        dump = lab.run(self.tools / "pg_dump", "-s", *dump_options, self.url).output
        subprocess.run(
            [self.tools / "psql", "-qX", target], input=dump, stdout=subprocess.DEVNULL, check=True
        )

    def floor(self, target: str) -> float:
        """Do the servers' own work one piece at a time."""
        before = lab.cpu(self.source) + lab.cpu(self.destination)
        self.restore(target, "--section=pre-data")
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
        self.restore(target, "--section=post-data")
        lab.run(self.tools / "psql", "-qX", target, "-c", "analyze")
        return (lab.cpu(self.source) + lab.cpu(self.destination) - before) / (os.cpu_count() or 1)

    def scripts(self, target: str) -> float:
        """Copy as the shell scripts did."""
        started = time.monotonic()
        self.restore(target, "-Ox")
        with (
            psycopg.connect(self.url, autocommit=True) as here,
            psycopg.connect(target, autocommit=True) as there,
        ):
            here.execute("create publication scripts for all tables")
            there.execute(f"create subscription scripts connection '{self.url}' publication scripts")
            while there.execute(UNREADY).fetchone() != (False,):
                time.sleep(0.05)
            took = time.monotonic() - started
            there.execute("drop subscription scripts")
            here.execute("drop publication scripts")
        return took

    def pgcopydb(self, target: str) -> float:
        """Copy with ``pgcopydb clone``; 0 jobs means its defaults."""
        program, jobs = self.options.pgcopydb, self.options.jobs
        extra: list[object] = ["--table-jobs", jobs, "--index-jobs", jobs] if jobs else []
        asked = subprocess.run([program, "clone", "--help"], capture_output=True, text=True, check=False)
        if "--use-copy-binary" in asked.stdout + asked.stderr:
            extra.append("--use-copy-binary")
        path = f"{self.tools}:{os.environ['PATH']}"
        with work_directory("bench") as directory:
            return lab.run(
                *(program, "clone", "--source", self.url, "--target", target),
                *("--dir", directory / "work", *extra),
                env={**os.environ, "PATH": path},
            ).seconds

    def migrator(self, target: str) -> float:
        """Copy with migrator, to a live stream."""
        with work_directory("bench") as directory:
            migrator = lab.Migrator(directory, self.url, target, self.options.jobs)
            migrator.run("plan")
            ran = migrator.run("advance", "--to", "replicating")
            self.memory = {"migrator": ran.memory, **ran.children}
            self.parts = migrator.parts()
            mixed.require_whole(self.url, target, rows=not self.options.load)
            migrator.run("rollback-to", "planned")
        return ran.seconds

    def loaded(self, target: str) -> float:
        """Copy with migrator while small transactions go on, until they are seen at once."""
        rows = mixed.rows(self.options.size, dominant=self.options.dominant)
        pgbench = load.Load(
            self.tools / "pgbench", self.url, self.options.load, min(rows["customers"], rows["orders"])
        )
        with work_directory("bench") as directory:
            migrator = lab.Migrator(directory, self.url, target, self.options.jobs)
            migrator.run("plan")
            with pgbench, load.Watch(self.url, target) as watch:
                started = time.monotonic()
                ran = migrator.run("advance", "--to", "replicating")
                ended = max(watch.caught_up(), started + ran.seconds)
                reached = pgbench.reached()
            mixed.require_whole(self.url, target, rows=False)
            self.tps.append(reached.tps)
            self.failed += reached.failed
            self.parts = migrator.parts()
            migrator.run("rollback-to", "planned")
        return ended - started


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=float, default=1.6)
    parser.add_argument("--dominant", action="store_true")
    parser.add_argument("--load", type=int, default=0, metavar="TPS")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--major", type=int, default=17)
    parser.add_argument("--only", nargs="*", choices=[*WAYS, "loaded"])
    parser.add_argument("--peer", action="append", default=[])
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    peers = dict(p.split("=", 1) for p in options.peer)
    options.pgcopydb = peers.get("pgcopydb") or shutil.which("pgcopydb")
    if options.jobs is None:
        options.jobs = 0 if options.dominant else 2
    chosen = options.only or (LOADED if options.load else WAYS)
    options.ways = [way for way in chosen if way != "pgcopydb" or options.pgcopydb]
    return options


def main() -> None:
    """Run the benchmark."""
    options = parse()
    samples: dict[str, list[float]] = {way: [] for way in options.ways}
    with lab.two_servers(options.major) as (source, destination):
        bench = Bench(source, destination, options)
        size = mixed.build(bench.url, options.size, dominant=options.dominant)
        if options.load:
            load.prepare(bench.url)
        print(f"{size} MB, PostgreSQL {options.major}, {os.cpu_count()} cores", flush=True)
        for number in range(1, options.rounds + 1):
            for way in options.ways:
                target = destination.create_database(way)
                samples[way].append(round(getattr(bench, way)(target), 2))
                if way not in LOADED:  # those look before they take it back
                    mixed.require_whole(bench.url, target)
                destination.drop_database(way)
                print(f"round {number}  {way:9} {samples[way][-1]:7.2f} s", flush=True)
    medians = lab.medians(samples)
    ratios = {
        f"{way}_defaults" if way == "pgcopydb" and not options.jobs else way: round(
            medians["migrator"] / median, 3
        )
        for way, median in medians.items()
        if way in WAYS and way != "migrator" and "migrator" in medians
    }
    figures: dict[str, float] = {"memory_mb": round(bench.memory.get("migrator", 0))}
    if "loaded" in medians:
        figures |= {"tps": min(bench.tps), "failed": bench.failed}
        if "migrator" in medians:
            figures["caught_up_over_unloaded"] = round(medians["loaded"] / medians["migrator"], 3)
    lab.tell(
        options.json,
        ratios=ratios,
        figures=figures,
        medians=medians,
        samples=samples,
        parts=bench.parts,
        memory={name: round(size) for name, size in bench.memory.items()},
        megabytes=size,
    )


if __name__ == "__main__":
    main()
