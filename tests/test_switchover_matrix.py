"""The switchover is safe at every instant, in both directions, whatever is killed, cut or restarted.

By default a sample; with ``--switchovers`` every point.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.demo.proof import compare, find_missing
from tests.fixtures import small
from tests.fixtures.dying import COMMIT_SENT
from tests.fixtures.project import clean_environment
from tests.fixtures.road import Road
from tests.fixtures.servers import connect
from tests.fixtures.sides import Sides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from uuid import UUID

    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer
    from tests.fixtures.project import Project
    from tests.fixtures.routers import Pgbouncer

MAX_PAUSE = 3.0
# What a loaded machine may add to it before a client is served.
SLACK = 2.0
KILLS = 3
OURS = """
select count(*)
from pg_stat_activity
where application_name ~ '^migrator/' and datname = current_database()
"""
HANDED_OVER = "select coalesce(max((detail ->> 'number')::int), 0) from {}.journal where event = 'cutover'"


def pooled(connection: Connection, token: UUID, dice: Random) -> None:
    """Trade as a client of a pooler in transaction mode does: without prepared statements."""
    connection.prepare_threshold = None
    small.trade(connection, token, dice)


class Direction:
    """One way of the switchover: the command, who gives the writes away, who takes them."""

    def __init__(self, command: tuple[str, ...], publisher: str, subscriber: str) -> None:
        self.command = command
        self.publisher, self.subscriber = publisher, subscriber


FORWARD = Direction(("advance", "--to", "cutover"), "source", "destination")
BACK = Direction(("rollback-to", "seq_synced"), "destination", "source")


class Shuttle(Road):
    """A migration that goes to and fro, with a writer through pgbouncer and one on each side."""

    def __init__(self, project: Project, source: str, destination: str, writer: Writer, sides: Sides) -> None:
        super().__init__(project, source, destination)
        self.writer, self.sides = writer, sides
        self.urls = {"source": source, "destination": destination}
        self.serving = "source"

    def die(self, direction: Direction, number: int) -> tuple[int, list[str], float]:
        """Run the command until that point; return its exit code, the points so far, and the time."""
        file = self.project.directory / "points"
        file.write_text("", encoding="utf-8")
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.fixtures.dying", str(file), str(number)),
                *("--config", str(self.project.path), "--json", "--yes", *direction.command),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=clean_environment(),
        )
        self.project.started.append(process)
        told = process.communicate(timeout=120)[0]
        ended = time.monotonic()
        assert process.returncode in (0, -signal.SIGKILL), told
        return process.returncode, file.read_text(encoding="utf-8").splitlines(), ended

    def is_committed(self, direction: Direction) -> bool:
        """Return whether the publisher has given its writes away, as its own database says."""
        with connect(self.urls[direction.publisher]) as connection:
            # A commit that was sent is under way until its process has ended.
            small.wait_until(lambda: connection.execute(OURS).fetchone() == (0,), "the killed run's sessions")
        with psycopg.connect(self.urls[direction.publisher]) as connection:
            return connection.execute("show default_transaction_read_only").fetchone() == ("on",)

    def go(self, *command: str, serving: str) -> None:
        """Run a command to its end, after which that side takes writes, through pgbouncer too."""
        self.project.run("--yes", *command)
        self.serves(serving)

    def serves(self, side: str) -> None:
        self.serving = side
        self.sides.serves(side, time.monotonic(), within=MAX_PAUSE)
        self.writer.wait_for(3)

    def switchovers(self) -> int:
        """Return how often the writes were given away."""
        numbers = []
        for url in self.urls.values():
            with connect(url) as connection:
                schemas = "select nspname::text from pg_namespace where nspname ~ '^migrator_'"
                (schema,) = connection.execute(schemas).fetchone() or ("",)
                numbers += connection.execute(HANDED_OVER.format(schema).encode()).fetchone() or ()
        return max(numbers)

    def prove(self) -> None:
        """Make sure that both sides are equal, and all that was acknowledged is there once."""
        self.sides.stop()
        self.writer.stop()
        if self.serving == "source":
            self.advance("cutover")
        else:
            self.rollback("seq_synced")
            self.advance("cutover")
        count = self.switchovers()
        assert compare(self.source, self.destination) == []
        assert find_missing(self.destination, self.writer.acknowledged) == set()
        said = self.sides.prove(self.destination, switchovers=count)
        sys.stdout.write(f"{count} switchovers; {said}; through pgbouncer {self.writer.report()}\n")
        self.complete()


@pytest.fixture
def shuttle(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    pgbouncers: Callable[..., Pgbouncer],
    writer: Callable[..., Writer],
) -> Iterator[Callable[..., Shuttle]]:
    """A factory: ``shuttle(**sections)`` gives a migration in ``seq_synced`` with its writers."""
    with contextlib.ExitStack() as stack:

        def create(**sections: Any) -> Shuttle:
            small.load(source_database, rows=100)
            router = pgbouncers(source_database)
            made = project(
                source_database,
                destination_database,
                cutover={"router": "pgbouncer", "max_pause": f"{MAX_PAUSE:g}s"},
                router={
                    "pgbouncer": {
                        "admin_urls": [router.admin_url()],
                        "config_file": str(router.ini),
                        "database": router.name,
                        "timeout": "2s",
                    }
                },
                **sections,
            )
            sides = Sides(source_database, destination_database)
            clients = writer(router.url, pooled, sessions=2, per_second=60)
            moved = Shuttle(made, source_database, destination_database, clients, sides)
            moved.plan()
            moved.advance("seq_synced")
            stack.enter_context(sides)
            moved.serves("source")
            return moved

        yield create


def chosen(points: list[str], dice: random.Random, *, every: bool) -> list[int]:
    """Return the numbers of the points to die at: the commit that nobody heard of, and others."""
    if every:
        return list(range(1, len(points) + 1))
    commit = 1 + next(n for n, p in enumerate(points) if p.startswith("hand_") and p.endswith(COMMIT_SENT))
    others = [n for n, p in enumerate(points, 1) if n != commit and not p.startswith(("prepare", "pass"))]
    return sorted([commit, *dice.sample(others, KILLS - 1)])


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("direction", [FORWARD, BACK], ids=["forward", "back"])
def test_a_switchover_killed_at_any_point_is_safe_and_completed_by_one_command(
    shuttle: Callable[..., Shuttle], direction: Direction, pytestconfig: pytest.Config
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    moved = shuttle()
    other = BACK if direction is FORWARD else FORWARD
    if direction is BACK:
        moved.go(*FORWARD.command, serving="destination")
    code, points, _at = moved.die(direction, 0)
    assert code == 0
    moved.serves(direction.subscriber)
    every = pytestconfig.getoption("--switchovers")
    numbers = chosen(points, random.Random(seed), every=every)
    sys.stdout.write(f"seed {seed}; {len(points)} points, killed at {numbers}\n")
    moved.go(*other.command, serving=direction.publisher)
    slowest = 0.0
    for turn, number in enumerate(numbers):
        code, points, at = moved.die(direction, number)
        where = f"{number} ({points[-1]})"
        if code == 0:
            moved.serves(direction.subscriber)
            moved.go(*other.command, serving=direction.publisher)
            continue
        committed = moved.is_committed(direction)
        sys.stdout.write(f"killed at {where}: {'committed' if committed else 'not committed'}\n")
        if not committed:
            slowest = max(slowest, moved.sides.serves(direction.publisher, at, within=MAX_PAUSE + SLACK))
        if turn % 2 == 0:
            moved.go(*direction.command, serving=direction.subscriber)
            moved.go(*other.command, serving=direction.publisher)
        elif direction is FORWARD:
            # Straight back: what is committed is completed first.
            moved.go(*other.command, serving=direction.publisher)
        else:
            moved.go(*direction.command, serving=direction.subscriber)
            moved.go(*other.command, serving=direction.publisher)
    sys.stdout.write(f"the publisher served again after {slowest * 1000:.0f} ms at most\n")
    moved.prove()
