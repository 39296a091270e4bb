"""A run that is killed at any moment loses nothing, holds nobody up, and is resumed by the same command."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.demo.proof import compare, find_missing
from migrator.demo.writer import Writer
from migrator.workflow import ALL_STEPS, TRANSITIONS
from tests.fixtures import small
from tests.fixtures.project import MIGRATOR, Project, clean_environment
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer

MAX_PAUSE = 5.0
KILLS_PER_MIGRATION = 20
BEFORE = "before the first step"
STEPS = [(t.name, step) for t in TRANSITIONS for step in t.steps]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One migration for every twenty kills of ``--kills``, two at least: every other by three streams."""
    if "kills" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--kills")
        count = max(math.ceil(wanted / KILLS_PER_MIGRATION), min(wanted, 2))
        each = [wanted // count + (n < wanted % count) for n in range(count)]
        metafunc.parametrize(("number", "kills"), list(enumerate(each)))


@dataclass
class Tally:
    """Where the kills of this run fell, and how long each step takes when nobody kills it."""

    hits: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, float] = field(default_factory=dict)


@dataclass
class Killed:
    """One run of ``advance``: when it was killed and where it stood then, or how it ended by itself."""

    at: float = 0.0
    place: str = ""
    returncode: int = 0
    said: str = ""


class Road:
    """A migration of the small shop on its way, with a writer on it."""

    def __init__(self, project: Project, source: str, destination: str, route: small.Route) -> None:
        self.project = project
        self.source, self.destination = source, destination
        self.route = route

    def is_cut_over(self) -> bool:
        """Return whether the source refuses writes: durable together with the cutover's record."""
        with psycopg.connect(self.source) as connection:
            return connection.execute("show default_transaction_read_only").fetchone() == ("on",)

    def state(self) -> str:
        return self.project.json("status")["state"]

    def advance_and_kill(self, step: str, delay: float, *, group: bool) -> Killed:
        """Kill ``advance --to cleaned`` so long after it has begun ``step``, or a later one.

        With ``group`` its children die with it, else they are left behind.
        """
        process = subprocess.Popen(
            [*MIGRATOR, "--config", str(self.project.path), "--json", "--yes", "advance", "--to", "cleaned"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.project.directory,
            env=clean_environment() | {"TMPDIR": str(self.project.directory)},
            start_new_session=True,
        )
        self.project.started.append(process)
        lines: list[str] = []
        if not step or until_begun(process, lines, step):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(delay)
        if process.poll() is None:
            (os.killpg if group else os.kill)(process.pid, signal.SIGKILL)
        at = time.monotonic()
        stdout, rest = process.communicate(timeout=30)
        return Killed(at, place(lines + rest.splitlines()), process.returncode, stdout)


def until_begun(process: subprocess.Popen[str], lines: list[str], step: str) -> bool:
    """Read events until ``step`` or a later one begins; return False when the run ends before."""
    for line in process.stderr or ():
        lines.append(line)
        event = json.loads(line)
        if event["event"] == "StepStarted" and ALL_STEPS.index(event["step"]) >= ALL_STEPS.index(step):
            return True
    return False


def place(lines: list[str]) -> str:
    """Return the step that a run was in, or the one that it had just finished, as ``transition/step``."""
    for line in reversed(lines):
        with contextlib.suppress(json.JSONDecodeError):  # the last line may be cut short by the kill
            event = json.loads(line)
            if step := event.get("step"):
                return next(f"{transition}/{name}" for transition, name in STEPS if name == step)
    return BEFORE


def moments(number: int, count: int, dice: random.Random) -> list[str]:
    """Choose the steps to be killed in, in order: every other one, of all transitions, and random ones.

    One kill, named by the empty text, falls while a run connects and takes its locks.
    """
    every_other = {*ALL_STEPS[number % 2 :: 2], "sync_sequences"}
    chosen = dice.sample(sorted(every_other), min(count, len(every_other)))
    chosen += dice.choices(ALL_STEPS, k=max(0, count - len(chosen) - 1))
    chosen.sort(key=ALL_STEPS.index)
    if len(chosen) < count:
        chosen.insert(dice.randrange(count), "")
    return chosen


def number_of(request: pytest.FixtureRequest) -> int:
    """Return which of the killed migrations this test is about."""
    number: int = getattr(request.node, "callspec", SimpleNamespace(params={})).params.get("number", 0)
    return number


@pytest.fixture
def road(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> Road:
    small.load(source_database)
    route = small.Route(tmp_path, source_database, destination_database)
    made = project(
        source_database,
        destination_database,
        cutover={"router": "command", "max_pause": f"{MAX_PAUSE:g}s"},
        replication={"streams": 1 + 2 * (number_of(request) % 2)},
        **route.sections,
    )
    made.run("plan", "--yes")
    return Road(made, source_database, destination_database, route)


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    made = Tally()
    yield made
    lines = [f"\n{made.hits.total()} kills, {BEFORE} {made.hits[BEFORE]}"]
    for t in TRANSITIONS:
        hits = {step: made.hits[f"{t.name}/{step}"] for step in t.steps}
        each = ", ".join(f"{step} {count}" for step, count in hits.items())
        lines.append(f"  {t.name} {sum(hits.values())}: {each}")
    plugins = request.config.pluginmanager
    with plugins.get_plugin("capturemanager").global_and_fixture_disabled():
        plugins.get_plugin("terminalreporter").write_line("\n".join(lines))


def test_how_long_each_step_takes_undisturbed(road: Road, tally: Tally) -> None:
    started = time.monotonic()
    process = road.project.start("--json", "--yes", "advance", "--to", "cleaned")
    lines: list[str] = []
    assert until_begun(process, lines, ALL_STEPS[0])
    begun = time.monotonic()
    _stdout, rest = process.communicate()
    events = [json.loads(line) for line in rest.splitlines()]
    tally.seconds = {e["step"]: e["seconds"] for e in events if e["event"] == "StepFinished"}
    assert tally.seconds.keys() == set(ALL_STEPS)
    tally.seconds[""] = begun - started


@pytest.mark.timeout(300)
def test_a_killed_run_is_resumed_and_nothing_is_lost(
    road: Road, tally: Tally, source_cluster: EmbeddedServer, number: int, kills: int
) -> None:
    seed = random.SystemRandom().randrange(2**32)
    sys.stdout.write(f"seed {seed}\n")
    dice = random.Random(seed)
    with Writer(
        road.route, small.trade_on(source_cluster.port), sessions=4, per_second=200, seed=seed
    ) as writer:
        writer.wait_for(20)
        for n, step in enumerate(moments(number, kills, dice)):
            delay = dice.uniform(0, 1.2 * tally.seconds[step])
            killed = road.advance_and_kill(step, delay, group=n % 2 == 0)
            if killed.returncode != -signal.SIGKILL:
                assert killed.returncode == 0, killed.said
                break
            tally.hits[killed.place] += 1
            if road.state() == "cleaned":  # the kill came after the last word
                break
            if not road.is_cut_over():
                assert_serves_on(writer, killed, road)
        finish(road)
        writer.wait_for(50)
    prove(road, writer)


def assert_serves_on(writer: Writer, killed: Killed, road: Road) -> None:
    """Make sure that a commit on the source was acknowledged soon after the kill, without our help."""
    served = killed.at + MAX_PAUSE + 1

    def commits() -> list[Any]:
        return [c for c in writer.commits[-200:] if c.at > killed.at and c.url == road.source]

    while not commits() and time.monotonic() < served:
        writer.wait_for(1, timeout=max(served - time.monotonic(), 0.1))
    assert commits(), f"killed in {killed.place}: {writer.report()}"


def finish(road: Road) -> None:
    """Run the same command once more, unless the last run came to the end before it could be killed."""
    if road.state() != "cleaned":
        road.project.run("--yes", "advance", "--to", "cleaned")
    assert road.state() == "cleaned"


def prove(road: Road, writer: Writer) -> None:
    """Make sure that both sides are equal, all is there once, and nothing of ours is left."""
    aside = {small.LEDGER: writer.written_to(road.destination)}
    assert compare(road.source, road.destination, set_aside=aside) == []
    assert find_missing(road.destination, writer.acknowledged) == set()
    assert len(writer.acknowledged) == len(writer.commits)
    with connect(road.destination) as connection:
        for table in ("ledger", "orders"):
            query = f"select count(token) - count(distinct token) from {table}"
            assert connection.execute(query).fetchone() == (0,), table
    assert small.leftovers(road.source, road.destination) == []
    assert small.store_rows(road.project)["lease"] == []
