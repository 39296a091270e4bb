"""Measure how long clients wait at a cutover and at the way back, and look for every one of their commits.

    python bench/cutover.py [--rounds 20] [--tables 20] [--sequences 20] [--clients 8] [--tps 1000]
                            [--router pgbouncer|haproxy|none] [--source-major 17]
                            [--destination-major 18] [--json FILE]

Two embedded servers, a router in front of them, and clients in a process of their own that commit all the
while. In each round migrator goes to ``cutover`` and back to ``seq_synced``, by its command line.

``figures``: the longest time between two commits, of whichever clients, from the command's start to
half a second after its end (``gap_ms_median`` and ``gap_ms_worst`` of the rounds); ``failed`` transactions;
``lost`` and ``doubled`` tokens on the side that serves at the end; ``tps`` of the clients, the slowest
round's; ``different`` tables or sequences when all is over. The first ones for both directions together, and
with ``forward_`` and ``back_`` before them for each. ``parts`` has where the milliseconds went, the
median of each. Without a router, and with haproxy, clients are cut off and fail, and come again.
"""

from __future__ import annotations

import sys

sys.path[0] += "/.."  # the repository; this directory's copy.py would stand for the standard library's

import argparse
import json
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from bench import clients, lab
from migrator.demo.proof import compare
from migrator.demo.servers import EmbeddedServer, work_directory
from tests.fixtures.daemons import Haproxy, Pgbouncer

# Commits reach the disk, as they do in earnest; what else would disturb stays off.
SETTINGS = {"fsync": "on", "shared_buffers": "256MB", "max_locks_per_transaction": "1024"}
COMMANDS = {"forward": ("advance", "--to", "cutover"), "back": ("rollback-to", "seq_synced")}
STEPS = {"forward": "hand_over", "back": "hand_back"}
WARM = 1.5
AFTER = 0.5
SETTLED = 30.0

PGBOUNCER = """\
[cutover]
router = "pgbouncer"
[router.pgbouncer]
admin_urls = ["{admin}"]
config_file = "{ini}"
database = "shop"
"""
HAPROXY = """\
[cutover]
router = "haproxy"
[router.haproxy]
sockets = ["{socket}"]
backend = "shop"
source_server = "old"
destination_server = "new"
probe_urls = ["{probe}"]
"""


@dataclass
class Direction:
    """What was measured of one direction, a value for each round."""

    gaps: list[float] = field(default_factory=list)
    tps: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)


class Bench:
    """Two servers, what leads to one of them, and migrator."""

    def __init__(
        self,
        source: EmbeddedServer,
        destination: EmbeddedServer,
        options: argparse.Namespace,
        stack: ExitStack,
    ) -> None:
        self.options = options
        self.source = source.create_database("shop")
        self.destination = destination.create_database("shop")
        self.program = destination.bin_dir / "pgbench"
        self.urls = [self.source, self.destination]
        directory = stack.enter_context(work_directory("bench"))
        more = ""
        if options.router == "pgbouncer":
            pooler = stack.enter_context(Pgbouncer(directory / "pgbouncer", self.source))
            self.urls = [pooler.url]
            more = PGBOUNCER.format(admin=pooler.admin_url(), ini=pooler.ini)
        elif options.router == "haproxy":
            proxy = stack.enter_context(Haproxy(directory / "haproxy", source.port, destination.port))
            self.urls = [proxy.url("shop")]
            more = HAPROXY.format(socket=proxy.socket, probe=self.urls[0])
        self.migrator = lab.Migrator(directory, self.source, self.destination, more=more)
        self.directions = {name: Direction() for name in COMMANDS}
        self.acknowledged: dict[int, set[clients.Token]] = {}
        self.failed: list[str] = []

    def clients(self, number: int) -> clients.Pgbench | clients.Reconnecting:
        options = self.options
        if options.router == "pgbouncer":
            return clients.Pgbench(
                self.program, self.urls[0], number, clients=options.clients, tps=options.tps
            )
        return clients.Reconnecting(self.urls, number, clients=options.clients, tps=options.tps)

    def round(self, number: int) -> None:
        """Go forward and back under the clients' eyes."""
        with self.clients(number) as working:
            time.sleep(2 * WARM)
            spans = {name: self._go(name) for name in COMMANDS}
            working.stop()
            commits = working.commits()
            failed = working.failed
        self.failed += failed
        self.acknowledged[number] = {commit.token for commit in commits}
        for name, (start, end) in spans.items():
            times = [commit.at for commit in commits if start - WARM <= commit.at <= end + AFTER]
            if not times:
                sys.exit(f"no client commits: {failed[:3]}")
            direction = self.directions[name]
            during = (then - before for before, then in pairwise(times) if then >= start)
            direction.gaps.append(round(max(during, default=end - start) * 1000, 1))
            direction.tps.append(round(len(times) / (times[-1] - times[0]), 1))
            direction.seconds.append(round(end - start, 2))
            self._note_parts(name)
            shown = ", ".join(f"{part} {took[-1]:g}" for part, took in direction.parts.items())
            print(
                f"round {number}  {name:7} gap {direction.gaps[-1]:6.1f} ms  {direction.tps[-1]:6.0f} tps  "
                f"{len(failed)} failed  {direction.seconds[-1]:.2f} s  {shown}",
                flush=True,
            )

    def _go(self, name: str) -> tuple[float, float]:
        start = time.time()
        self.migrator.run(*COMMANDS[name])
        end = time.time()
        time.sleep(WARM + AFTER)
        return start, end

    def _note_parts(self, name: str) -> None:
        attempts = json.loads(self.migrator.run("--json", "history", "--cutover").output)["attempts"]
        done = [a["evidence"] for a in attempts if a["step"] == STEPS[name] and "parts_ms" in a["evidence"]]
        evidence: dict[str, Any] = done[-1]
        for part, took in {**evidence["parts_ms"], "total": evidence["total_ms"]}.items():
            self.directions[name].parts.setdefault(part, []).append(took)

    def settle(self) -> list[str]:
        """Wait until both sides are equal; return what is different when they do not become so."""
        deadline = time.monotonic() + SETTLED
        # The sequences of the side that serves are ahead.
        while (found := compare(self.destination, self.source)) and time.monotonic() < deadline:
            time.sleep(0.2)
        return [str(difference) for difference in found]

    def figures(self, different: list[str]) -> dict[str, float]:
        """Return what the docstring says."""
        counted = [clients.counted(self.source, number, told) for number, told in self.acknowledged.items()]
        figures: dict[str, float] = {
            **_gaps("", [gap for d in self.directions.values() for gap in d.gaps]),
            "tps": min(tps for d in self.directions.values() for tps in d.tps),
            "failed": len(self.failed),
            "lost": sum(lost for lost, _ in counted),
            "doubled": sum(doubled for _, doubled in counted),
            "different": len(different),
            "acknowledged": sum(map(len, self.acknowledged.values())),
        }
        for name, direction in self.directions.items():
            figures |= _gaps(f"{name}_", direction.gaps) | {f"{name}_tps": min(direction.tps)}
        return figures


def _gaps(prefix: str, gaps: list[float]) -> dict[str, float]:
    return {
        f"{prefix}gap_ms_median": round(statistics.median(gaps), 1),
        f"{prefix}gap_ms_worst": max(gaps),
    }


def parse() -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--sequences", type=int, default=20)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--tps", type=int, default=1000)
    parser.add_argument("--router", choices=["pgbouncer", "haproxy", "none"], default="pgbouncer")
    parser.add_argument("--source-major", type=int, default=17)
    parser.add_argument("--destination-major", type=int, default=18)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Run the benchmark."""
    options = parse()
    with (
        lab.two_servers(
            options.source_major, SETTINGS, destination_major=options.destination_major
        ) as servers,
        ExitStack() as stack,
    ):
        bench = Bench(*servers, options, stack)
        clients.prepare(bench.source, options.tables, options.sequences)
        print(
            f"{options.tables} tables, {options.sequences} sequences, {options.router}, "
            f"PostgreSQL {options.source_major} and {options.destination_major}",
            flush=True,
        )
        bench.migrator.run("plan")
        bench.migrator.run("advance", "--to", "seq_synced")
        for number in range(1, options.rounds + 1):
            bench.round(number)
        different = bench.settle()
        figures = bench.figures(different)
    lab.tell(
        options.json,
        figures=figures,
        parts={name: lab.medians(d.parts) for name, d in bench.directions.items()},
        samples={
            name: {"gap_ms": d.gaps, "tps": d.tps, "seconds": d.seconds, "parts_ms": d.parts}
            for name, d in bench.directions.items()
        },
        failures=bench.failed[:20],
        differences=different[:20],
    )


if __name__ == "__main__":
    main()
