"""Whatever breaks during ``replicate``: the same command completes it, and the application does not notice.

By default a few pairs of a moment and a fault; with ``--crashes`` each of either.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from migrator.app import App
from migrator.demo.proof import compare, find_missing
from migrator.errors import StepFailed, Unreachable
from tests.fixtures import small
from tests.fixtures.road import Road
from tests.fixtures.strikes import STRIKES, Moment, Stricken

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from tests.fixtures.network import Network
    from tests.fixtures.project import Project

    Begins = Callable[[Moment, pytest.MonkeyPatch], AbstractContextManager[None]]

# The longest that a client may wait for a commit while its server is up.
LONGEST_WAIT = 2.0
RUNS = 3
ROWS = 10000
# What a client of a server that goes down and comes up may see.
DOWN = ("connection lost", "57P01", "57P02", "57P03", "08")

MOMENTS: dict[str, Begins] = {
    "before the slot": lambda m, p: m.at_statement("copy_tables", 1, p),
    "as the slot is made": lambda m, p: m.at_statement("copy_tables", 10, p),
    "while the first table is copied": lambda m, p: m.at_piece(1, p),
    "while a later table is copied": lambda m, p: m.at_piece(6, p),
    "within a table in pieces": lambda m, p: m.at_piece(3, p, of_many=True),
    "while the first indexes are built": lambda m, p: m.at_index(1, p),
    "while a later index is built": lambda m, p: m.at_index(4, p),
    "as a foreign key is validated": lambda m, p: m.at_key(1, p),
    "as the last foreign key is validated": lambda m, p: m.at_key(3, p),
    "as create_subscription begins": lambda m, p: m.at_statement("create_subscription", 1, p),
    "within create_subscription": lambda m, p: m.at_statement("create_subscription", 9, p),
    "as create_subscription ends": lambda m, p: m.at_statement("create_subscription", 1000, p),
    "within restore_post_data": lambda m, p: m.at_statement("restore_post_data", 5, p),
    "within refresh_materialized_views": lambda m, p: m.at_statement("refresh_materialized_views", 2, p),
    "within analyze_tables": lambda m, p: m.at_statement("analyze_tables", 8, p),
    "within fence_destination": lambda m, p: m.at_statement("fence_destination", 4, p),
    "as await_catch_up begins": lambda m, p: m.at_statement("await_catch_up", 1, p),
    "within await_catch_up": lambda m, p: m.at_statement("await_catch_up", 5, p),
}
BY_DEFAULT = [
    ("within a table in pieces", "one session on the destination ends"),
    ("while a later table is copied", "the source crashes"),
    ("while the first indexes are built", "the destination crashes"),
    ("while a later table is copied", "the way to the destination stalls"),
    ("within await_catch_up", "the source restarts fast"),
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A few pairs, or with ``--crashes`` all."""
    if "strike" in metafunc.fixturenames:
        every = [(moment, strike) for moment in MOMENTS for strike in STRIKES]
        chosen = every if metafunc.config.getoption("--crashes") else BY_DEFAULT
        metafunc.parametrize(("moment", "strike"), chosen, ids=[f"{m}, {s}" for m, s in chosen])


class Way(Road):
    """A migration of the small shop under writes, over networks that can be cut."""

    def __init__(self, project: Project, stricken: Stricken, writer: Writer) -> None:
        super().__init__(project, stricken.urls["source"], stricken.urls["destination"])
        self.stricken = stricken
        self.writer = writer
        self.runs = 0

    def replicate(self) -> None:
        """Run the command as a user does: again when it could not be completed."""
        while True:
            self.runs += 1
            try:
                self.advance("replicating")
            except (StepFailed, Unreachable) as error:
                if not error.hint or self.runs == RUNS:
                    raise
                self.stricken.mended()
            else:
                return

    def recorded(self) -> dict[str, Any]:
        """Return when each table came to be in as a whole, by the destination's own record."""
        (name,) = self.on_destination("select nspname::text from pg_namespace where nspname ~ '^migrator_'")[
            0
        ]
        return dict(
            self.on_destination(f"""
                select relation::regclass::text, max(at)
                from {name}.copied
                group by relation
                having count(*) = max(pieces) and min(position) = max(position)
            """)
        )

    def prove(self) -> None:
        """Make sure that nothing is lost or different, and that the clients were not disturbed."""
        self.stricken.mended()
        self.writer.wait_for(50)
        self.writer.stop()
        self.advance("cutover")
        assert compare(self.source, self.destination) == []
        assert find_missing(self.destination, self.writer.acknowledged) == set()
        down = self.stricken.down["source"]
        assert all(down and error.startswith(DOWN) for error in self.writer.errors), self.writer.errors
        waits = waits_outside(self.writer, down)
        sys.stdout.write(f"{self.runs} runs; longest wait {1000 * waits:.0f} ms; {self.writer.report()}\n")
        assert waits < LONGEST_WAIT


def waits_outside(writer: Writer, down: list[tuple[float, float]]) -> float:
    """Return the longest time between two commits, of those that do not fall into a restart."""
    times = sorted(commit.at for commit in writer.commits)
    pairs = pairwise(times)
    return max(b - a for a, b in pairs if not any(a < end and b > begin for begin, end in down))


@pytest.fixture
def way(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    network: Callable[[int], Network],
    writer: Callable[..., Writer],
) -> Way:
    small.load(source_database, rows=ROWS)
    source, destination, between = (
        network(port) for port in (source_cluster.port, destination_cluster.port, source_cluster.port)
    )
    stricken = Stricken(
        {"source": source_cluster, "destination": destination_cluster},
        {"source": source_database, "destination": destination_database},
        {"source": source, "destination": destination, "between": between},
    )
    made = project(
        source.url(source_database),
        destination.url(destination_database),
        replication={"source_conninfo": between.url(source_database)},
        copy={"jobs": 2, "index_jobs": 2, "split_above": "1MB", "max_bytes_per_second": "20MB"},
    )
    clients = writer(source_database, small.trade_on(source_cluster.port), sessions=3, per_second=100)
    moved = Way(made, stricken, clients)
    moved.plan()
    moved.advance("schema_copied")
    clients.wait_for(10)
    return moved


@pytest.mark.timeout(180)
def test_the_same_command_completes_what_was_struck(
    way: Way, moment: str, strike: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before: dict[str, Any] = {}

    def struck() -> None:
        before.update(way.recorded())
        STRIKES[strike](way.stricken)

    once = Moment(struck)
    with MOMENTS[moment](once, monkeypatch):
        way.replicate()
    assert once.is_over
    assert way.runs == 1
    assert before.items() <= way.recorded().items()
    way.prove()


@pytest.mark.parametrize(
    ("event", "what"), [("TableProgressed", "copied"), ("StepStarted", "add_foreign_keys")]
)
def test_a_killed_run_is_taken_up_and_keeps_what_is_in(way: Way, event: str, what: str) -> None:
    process = way.project.start("--json", "--yes", "advance", "--to", "replicating")
    for line in process.stderr or ():
        told = json.loads(line)
        if told["event"] == event and what in (told.get("state"), told.get("step")):
            break
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    assert process.returncode == -signal.SIGKILL
    before = way.recorded()
    assert before
    killed = time.monotonic()
    way.replicate()
    assert before.items() <= way.recorded().items()
    assert way.writer.longest_pause_since(killed) < LONGEST_WAIT
    way.prove()


def test_a_server_that_stays_away_is_an_error_in_time_that_names_it(way: Way) -> None:
    config = way.project.path.read_text(encoding="utf-8") + '\n[connections]\nretry_for = "2s"\n'
    way.project.path.write_text(config, encoding="utf-8")
    with App.open(way.project.path, confirm=lambda _question: True) as app, pytest.MonkeyPatch.context() as p:
        way.app = app
        once = Moment(lambda: way.stricken.networks["destination"].refuse())
        began = time.monotonic()
        with once.at_statement("create_publication", 1, p):
            assert "the destination" in way.refuse(Unreachable, 6, "replicating")
        assert time.monotonic() - began < 20
        way.stricken.networks["destination"].resume()
        way.replicate()
        assert way.runs == 1
        way.prove()
