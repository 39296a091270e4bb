"""The switchover is safe at every instant, in both directions, whatever is killed, cut or restarted.

By default a sample; with ``--switchovers`` every point.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from itertools import zip_longest
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pytest

from migrator.demo.proof import compare, find_missing
from tests.fixtures import small
from tests.fixtures.points import COMMIT_SENT
from tests.fixtures.project import clean_environment
from tests.fixtures.road import Road
from tests.fixtures.servers import connect
from tests.fixtures.sides import Sides
from tests.fixtures.strikes import STRIKES, Stricken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from uuid import UUID

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer
    from tests.fixtures.network import Network
    from tests.fixtures.project import Project
    from tests.fixtures.routers import Pgbouncer

MAX_PAUSE = 3.0
# What a loaded machine may add to it before a client is served.
SLACK = 2.0
# The networks by which migrator reaches the servers, and the servers each other: where each leads.
WAYS = {"source": "source", "destination": "destination", "between": "source", "back": "destination"}
OURS = """
select count(*)
from pg_stat_activity
where application_name ~ '^migrator/' and datname = current_database()
"""
HANDED_OVER = "select coalesce(max((detail ->> 'number')::int), 0) from {}.journal where event = 'cutover'"


def pooled(connection: Connection, token: UUID, dice: Random) -> None:
    """Trade as a client of a pooler in transaction mode does: without prepared statements."""
    connection.prepare_threshold = None
    try:
        small.trade(connection, token, dice)
    except psycopg.InternalError as error:
        # What pgbouncer says to a client whose server's session was ended comes as an answer too many.
        connection.close()
        raise psycopg.OperationalError(str(error)) from error


class Direction:
    """One way of the switchover: the command, who gives the writes away, who takes them."""

    def __init__(self, command: tuple[str, ...], publisher: str, subscriber: str) -> None:
        self.command = command
        self.publisher, self.subscriber = publisher, subscriber


FORWARD = Direction(("advance", "--to", "cutover"), "source", "destination")
BACK = Direction(("rollback-to", "seq_synced"), "destination", "source")


class Shuttle(Road):
    """A migration that goes to and fro, with a writer through pgbouncer and one on each side."""

    def __init__(
        self, project: Project, urls: dict[str, str], writer: Writer, sides: Sides, stricken: Stricken
    ) -> None:
        super().__init__(project, urls["source"], urls["destination"])
        self.writer, self.sides, self.stricken = writer, sides, stricken
        self.urls = urls
        self.serving = "source"
        self.points, self.said = project.directory / "points", project.directory / "said"

    def start(self, direction: Direction, where: int | str, number: signal.Signals) -> subprocess.Popen[str]:
        """Start the command, which is to send itself a signal at that point."""
        self.points.write_text("", encoding="utf-8")
        with self.said.open("w", encoding="utf-8") as said:
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.fixtures.points", str(self.points), str(where)),
                    *(number.name, "--config", str(self.project.path), "--json", "--yes"),
                    *direction.command,
                ],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                text=True,
                env=clean_environment(),
            )
        self.project.started.append(process)
        return process

    def die(self, direction: Direction, number: int) -> tuple[int, list[str], float]:
        """Run the command until that point; return its exit code, the points so far, and the time."""
        process = self.start(direction, number, signal.SIGKILL)
        process.wait(120)
        ended = time.monotonic()
        assert process.returncode in (0, -signal.SIGKILL), self.said.read_text(encoding="utf-8")
        return process.returncode, self.points.read_text(encoding="utf-8").splitlines(), ended

    def hold(self, direction: Direction, pattern: str) -> subprocess.Popen[str]:
        """Start the command and return when it stands still at that point."""
        process = self.start(direction, pattern, signal.SIGSTOP)

        def stands() -> bool:
            found = os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOHANG | os.WNOWAIT)
            assert found is None or found.si_code == os.CLD_STOPPED, self.said.read_text(encoding="utf-8")
            return found is not None

        small.wait_until(stands, f"the command to come to {pattern}", timeout=60)
        return process

    def is_committed(self, direction: Direction) -> bool:
        """Return whether the publisher has given its writes away, as its own database says."""
        with connect(self.urls[direction.publisher]) as connection:
            # A commit that was sent is under way until its process has ended.
            small.wait_until(lambda: connection.execute(OURS).fetchone() == (0,), "the killed run's sessions")
        with psycopg.connect(self.urls[direction.publisher]) as connection:
            return connection.execute("show default_transaction_read_only").fetchone() == ("on",)

    def go(self, direction: Direction) -> None:
        """Run the command to its end, after which the subscriber takes writes, through pgbouncer too."""
        self.project.run("--yes", *direction.command)
        self.serves(direction.subscriber)

    def be_at(self, side: str) -> None:
        """Go where that side takes the writes."""
        if self.serving != side:
            self.go(FORWARD if side == FORWARD.subscriber else BACK)

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
        # The last switchover is without writers, so that both sides are equal after it.
        self.project.run("--yes", *BACK.command)
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
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    network: Callable[[int], Network],
    pgbouncers: Callable[..., Pgbouncer],
    writer: Callable[..., Writer],
) -> Iterator[Callable[..., Shuttle]]:
    """A factory: ``shuttle(**sections)`` gives a migration in ``seq_synced`` with its writers.

    Its clients reach the servers directly; migrator, and the servers each other, by networks of their own.
    """
    urls = {"source": source_database, "destination": destination_database}
    clusters = {"source": source_cluster, "destination": destination_cluster}
    with contextlib.ExitStack() as stack:

        def create(**sections: Any) -> Shuttle:
            small.load(source_database, rows=100)
            # A server that was away is back for its clients at once.
            router = pgbouncers(source_database, settings="server_login_retry = 0.1")
            ways = {way: network(clusters[side].port) for way, side in WAYS.items()}
            ways["router"] = network(router.port)
            made = project(
                ways["source"].url(source_database),
                ways["destination"].url(destination_database),
                cutover={
                    "router": "pgbouncer",
                    "max_pause": f"{MAX_PAUSE:g}s",
                    **sections.get("cutover", {}),
                },
                replication={
                    **sections.get("replication", {}),
                    "source_conninfo": ways["between"].url(source_database),
                    "destination_conninfo": ways["back"].url(destination_database),
                },
                router={
                    "pgbouncer": {
                        "admin_urls": [ways["router"].url(router.admin_url())],
                        "config_file": str(router.ini),
                        "database": router.name,
                        "timeout": "2s",
                        **{
                            f"{side}_address": urlsplit(url).netloc.split("@")[1]
                            for side, url in urls.items()
                        },
                    }
                },
            )
            sides = Sides(source_database, destination_database)
            clients = writer(router.url, pooled, sessions=2, per_second=60)
            moved = Shuttle(made, urls, clients, sides, Stricken(clusters, urls, ways))
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
    before = [n for n, p in enumerate(points[: commit - 1], 1) if p.startswith("hand_")]
    return dice.sample([commit, dice.choice(before)], 2)


@pytest.mark.timeout(3600)
def test_a_switchover_killed_at_any_point_is_safe_and_completed_by_one_command(
    shuttle: Callable[..., Shuttle], pytestconfig: pytest.Config, streams: int, fence: str
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    dice = random.Random(seed)
    moved = shuttle(replication={"streams": streams}, cutover={"fence": fence})
    todo = {}
    for direction in (FORWARD, BACK):
        code, points, _at = moved.die(direction, 0)
        assert code == 0
        moved.serves(direction.subscriber)
        todo[direction] = chosen(points, dice, every=pytestconfig.getoption("--switchovers"))
    sys.stdout.write(f"seed {seed}; killed at {list(todo.values())}\n")
    slowest = 0.0
    # Straight back: what is committed is completed first.
    for turn, (direction, number) in enumerate(alternating(todo)):
        moved.be_at(direction.publisher)
        code, points, at = moved.die(direction, number)
        if code == 0:
            moved.serves(direction.subscriber)
            continue
        committed = moved.is_committed(direction)
        sys.stdout.write(
            f"{direction.publisher}, killed at {number} ({points[-1]}): {'not ' * (not committed)}committed\n"
        )
        if not committed:
            slowest = max(slowest, moved.sides.serves(direction.publisher, at, within=MAX_PAUSE + SLACK))
        if direction is FORWARD and turn % 4 == 0:
            moved.go(BACK)
        else:
            moved.go(direction)
    sys.stdout.write(f"the publisher served again after {slowest * 1000:.0f} ms at most\n")
    moved.prove()


def alternating(todo: dict[Direction, list[int]]) -> Iterator[tuple[Direction, int]]:
    """Give what is to be done forward and back in turns, as long as there is any."""
    for pair in zip_longest(*([(d, n) for n in numbers] for d, numbers in todo.items())):
        yield from filter(None, pair)


# Where a run is held while something happens to it; of the publisher {p} and the subscriber {s}.
MOMENTS = {
    "before the fence": r"hand_\w+: journal: after begin",
    "as the router pauses": r"hand_\w+: router: PAUSE",
    "as the fence is locked": r"hand_\w+: {p}: lock table",
    "within the fence": r"hand_\w+: {p}: with tables as",
    "as the tokens are sent": r"hand_\w+: {p}: update .*heartbeat",
    "as the stream stops": r"hand_\w+: {s}: alter subscription .* disable",
    "as the opposite slot is made": r"hand_\w+: {s}: select pg_catalog.pg_create_logical",
    "before the commit": r"hand_\w+: {p}: commit$",
    "before the commit is answered": r"hand_\w+: {p}: commit sent",
    "after the commit": r"hand_\w+: {p}: committed",
    "before the opening is answered": r"hand_\w+: {s}: commit sent",
    "as the route is switched": r"hand_\w+: router: RELOAD",
    "as the opposite stream begins": r"(start_return|restart_stream): {p}: alter subscription .* enable",
    "as the old sessions end": r"end_\w+_sessions: journal: after begin",
}
EVERY_STRIKE: dict[str, Callable[[Stricken], None]] = {
    **STRIKES,
    "the connections to the source are reset": lambda s: s.networks["source"].cut(),
    "the connections to the destination are reset": lambda s: s.networks["destination"].cut(),
    "the way from the source is cut": lambda s: s.interrupt("back", "refuse"),
    "the way to the router is cut": lambda s: s.interrupt("router", "refuse"),
    "the way to the router stalls": lambda s: s.interrupt("router", "stall"),
}
STRUCK_BY_DEFAULT = (
    (FORWARD, "before the commit is answered", "the source crashes"),
    (BACK, "before the commit is answered", "the connections to the destination are reset"),
    (FORWARD, "after the commit", "the destination crashes"),
    (BACK, "within the fence", "the way to the source is cut"),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A few strikes, or with ``--switchovers`` each at each moment: one migration for all of a moment's."""
    every = metafunc.config.getoption("--switchovers")
    if "struck" in metafunc.fixturenames:
        each = {m: [(d, m, s) for s in EVERY_STRIKE for d in (FORWARD, BACK)] for m in MOMENTS}
        few = {"a few": list(STRUCK_BY_DEFAULT)}
        chosen = each if every else few
        metafunc.parametrize("struck", list(chosen.values()), ids=list(chosen))
    if "streams" in metafunc.fixturenames:
        metafunc.parametrize("streams", [1, 3] if every else [1])
    if "fence" in metafunc.fixturenames:
        metafunc.parametrize("fence", ["lock", "read_only"] if every else ["lock"])


@pytest.mark.timeout(900)
def test_a_switchover_that_is_struck_is_safe_and_completed_by_one_command(
    shuttle: Callable[..., Shuttle], struck: list[tuple[Direction, str, str]]
) -> None:
    moved = shuttle()
    for direction, moment, strike in struck:
        moved.be_at(direction.publisher)
        process = moved.hold(direction, MOMENTS[moment].format(p=direction.publisher, s=direction.subscriber))
        at = time.monotonic()
        EVERY_STRIKE[strike](moved.stricken)
        process.send_signal(signal.SIGCONT)
        process.wait(120)
        lasted = time.monotonic() - at
        moved.stricken.mended()
        committed = moved.is_committed(direction)
        told = (
            f"from the {direction.publisher}, {moment}, {strike}: exit code {process.returncode} after "
            f"{lasted:.1f} s, {'not ' * (not committed)}committed"
        )
        sys.stdout.write(f"{told}\n")
        assert process.returncode in (0, 5, 6), moved.said.read_text(encoding="utf-8")
        if strike.endswith("reset") and moment in ("before the commit is answered", "after the commit"):
            assert process.returncode == 0, f"{told}: {moved.said.read_text(encoding='utf-8')}"
        if not committed:
            up = [end for _begin, end in moved.stricken.down[direction.publisher] if end > at]
            served = moved.sides.served_after(direction.publisher, max([at, *up]))
            assert served < MAX_PAUSE + SLACK, told
        if process.returncode == 0:
            moved.serves(direction.subscriber)
        else:
            moved.go(direction)
        if direction is FORWARD:
            # A worker that met the cut network comes again by itself, after wal_retrieve_retry_interval.
            small.wait_until(
                lambda: moved.app.status().way_back == "available", "the way back to be there", timeout=30
            )
    moved.prove()
