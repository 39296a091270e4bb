"""The cutover while clients write: nobody sees more than a pause, and never do both sides take writes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.demo.proof import compare, find_missing
from tests.fixtures import small
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from tests.fixtures.project import Project

MAX_PAUSE = 3.0
FENCE_IS_UP = """
select count(*) = 1
  from pg_stat_activity a
 where a.datname = current_database()
   and a.application_name ~ '^migrator/'
   and a.state = 'idle in transaction'
   and exists (
       select
         from pg_locks l
        where l.pid = a.pid
          and l.relation = 'ledger'::regclass
          and l.mode = 'ShareRowExclusiveLock'
          and l.granted
   )
"""
FENCE_WAITS = """
select count(*) = 1
  from pg_locks l
  join pg_stat_activity a on a.pid = l.pid
 where a.application_name ~ '^migrator/'
   and l.relation = to_regclass(%s)
   and l.mode = 'ShareRowExclusiveLock'
   and not l.granted
   and clock_timestamp() - coalesce((to_jsonb(l) ->> 'waitstart')::timestamptz, a.query_start) > %s::interval
"""
WORKER = "select pid from pg_stat_subscription where subname ~ '^migrator_' and pid is not null"


class Cutover:
    """A small migration that stands right before its cutover."""

    def __init__(self, project: Project, source: str, destination: str, route: small.Route) -> None:
        self.project = project
        self.source, self.destination = source, destination
        self.route = route

    def start(self) -> Events:
        return Events(self.project.start("--json", "--yes", "advance"))

    @contextlib.contextmanager
    def stream_held(self) -> Iterator[None]:
        """Stop the stream's apply worker for a while, as a slow disk would."""
        with connect(self.destination) as connection:
            (pid,) = small.wait_until(lambda: connection.execute(WORKER).fetchone(), "the apply worker")
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def start_with_blockers(self, *blockers: tuple[psycopg.Connection[Any], str]) -> Events:
        """Start the cutover and run statements when its triggers stand, before its fence begins."""
        with self.stream_held():
            events = self.start()
            # The gates wait for a heartbeat, which cannot arrive.
            events.until("StepStarted", "pass_gates")
            for connection, statement in blockers:
                connection.execute(statement)
        return events

    @contextlib.contextmanager
    def fence_held(self) -> Iterator[Events]:
        """Start the cutover and hold it within its open fence: the drain cannot end."""
        with psycopg.connect(self.source) as blocker:
            events = self.start_with_blockers((blocker, "insert into products (title) values ('one')"))
            events.until("StepStarted", "hand_over")
            with self.stream_held():
                blocker.rollback()
                small.wait_until(lambda: self.is_so(FENCE_IS_UP), "the fence")
                yield events

    def is_so(self, query: str, *parameters: str) -> bool:
        """Ask the source a question."""
        with connect(self.source) as connection:
            return connection.execute(query, parameters).fetchone()[0]

    def assert_source_is_open(self) -> None:
        with psycopg.connect(self.source) as connection:
            assert connection.execute("show default_transaction_read_only").fetchone() == ("off",)
            up = "select count(*) from pg_proc where proname = 'refuse_write' and prosrc ~ 'raise exception'"
            assert connection.execute(up).fetchone() == (0,)

    def assert_serves_from(self, writer: Writer, moment: float) -> None:
        """Make sure that the source has acknowledged a commit within the budget after ``moment``."""

        def served() -> list[float]:
            return [c.at for c in writer.commits[-100:] if c.at > moment and c.url == self.source]

        small.wait_until(served, "a commit on the source", timeout=moment + MAX_PAUSE + 1 - time.monotonic())

    def complete(self, writer: Writer) -> None:
        """Go on to the end with the same command; nothing is missing or different."""
        self.project.run("--yes", "advance", "--to", "cleaned")
        writer.wait_for(20)
        writer.stop()
        aside = {small.LEDGER: writer.written_to(self.destination)}
        assert compare(self.source, self.destination, set_aside=aside) == []
        assert find_missing(self.destination, writer.acknowledged) == set()
        assert small.leftovers(self.source, self.destination) == []


class Events:
    """The events of a command that runs, and its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.seen: list[dict[str, Any]] = []

    def until(self, name: str, step: str) -> None:
        """Read on until that event of that step."""
        for line in self.process.stderr or ():
            self.seen.append(json.loads(line))
            if (self.seen[-1]["event"], self.seen[-1].get("step")) == (name, step):
                return
        pytest.fail(f"the command ended before {name} of {step}: {self.process.communicate()[0]}")

    def end(self) -> tuple[int, Any]:
        """Wait for the end; return the exit code and the answer."""
        stdout, stderr = self.process.communicate(timeout=60)
        self.seen += map(json.loads, stderr.splitlines())
        return self.process.returncode, json.loads(stdout)

    def notes(self) -> list[str]:
        return [e["text"] for e in self.seen if e["event"] == "StepNote"]


@pytest.fixture
def ready(
    project: Callable[..., Project], source_database: str, destination_database: str, tmp_path: Path
) -> Callable[..., Cutover]:
    """A factory: ``ready(attempts=…)`` gives a migration in ``seq_synced``; options are ``[cutover]``'s."""

    def create(**options: Any) -> Cutover:
        small.load(source_database, rows=100)
        route = small.Route(tmp_path, source_database, destination_database)
        made = project(
            source_database,
            destination_database,
            cutover={"router": "command", "max_pause": f"{MAX_PAUSE:g}s", **options},
            copy={"lock_timeout": "300ms", "lock_attempts": 3},
            **route.sections,
        )
        made.run("plan", "--yes")
        made.run("--yes", "advance", "--to", "seq_synced")
        return Cutover(made, source_database, destination_database, route)

    return create


@pytest.fixture
def trader(writer: Callable[..., Writer], source_cluster: EmbeddedServer) -> Callable[[Cutover], Writer]:
    """A factory of writers on all tables, which follow the route."""

    def create(cutover: Cutover) -> Writer:
        made = writer(cutover.route, small.trade_on(source_cluster.port), sessions=3, per_second=150)
        made.wait_for(10)
        return made

    return create


@pytest.mark.parametrize("early", [True, False], ids=["while the triggers are made", "at the fence"])
def test_a_long_transaction_is_named_and_the_source_serves_on(
    ready: Callable[..., Cutover], trader: Callable[[Cutover], Writer], early: bool
) -> None:
    cutover = ready(attempts=2, lock_timeout="400ms")
    writer = trader(cutover)
    slow = "insert into products (title) values ('slow')"
    with psycopg.connect(cutover.source, application_name="nightly report") as blocker:
        if early:
            blocker.execute(slow)
            events = cutover.start()
        else:
            events = cutover.start_with_blockers((blocker, slow))
        code, error = events.end()
        ended = time.monotonic()
        assert (code, error["error"]) == (5, "TimedOut")
        for said in (f"pid {blocker.info.backend_pid} ", "nightly report", slow):
            assert said in error["message"]
        cutover.assert_serves_from(writer, ended)
        cutover.assert_source_is_open()
        assert not writer.errors
        blocker.rollback()
    cutover.complete(writer)


def test_both_sides_never_take_writes_at_once(ready: Callable[..., Cutover]) -> None:
    cutover = ready()
    done = threading.Event()
    sides = {side: Stubborn(url, done) for side, url in vars(cutover).items() if side in SIDES}
    for side in sides.values():
        side.start()
    try:
        small.wait_until(lambda: sides["source"].accepted, "a write on the source")
        cutover.project.run("--yes", "advance")
        small.wait_until(lambda: sides["destination"].accepted, "a write on the destination")
        refused = [len(side.refused) for side in sides.values()]
        small.wait_until(lambda: len(sides["source"].refused) > refused[0] + 20, "refusals on the source")
    finally:
        done.set()
        for side in sides.values():
            side.join()
    last_asked = max(began for began, _ended in sides["source"].accepted)
    first_told = min(ended for _began, ended in sides["destination"].accepted)
    assert last_asked < first_told
    # The servers' own clock, which is one here, says the same of what was written when.
    ours = "where token = any (%s)"
    with connect(cutover.source) as source, connect(cutover.destination) as destination:
        (last,) = source.execute(f"select max(at) from ledger {ours}", [sides["source"].tokens]).fetchone()
        (first,) = destination.execute(
            f"select min(at) from ledger {ours}", [sides["destination"].tokens]
        ).fetchone()
    assert last < first
    for side in sides.values():
        assert {said for said in side.refused if "is fenced by a migration" not in said} == set()
    assert sides["destination"].refused
    # The session that sat on the source was ended; its client came back, to be refused.
    assert sides["source"].lost == 1
    assert sides["destination"].lost == 0


SIDES = ("source", "destination")


class Stubborn(threading.Thread):
    """A client that lifts the read-only default for itself and writes to one server again and again."""

    def __init__(self, url: str, done: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url, self.done = url, done
        self.accepted: list[tuple[float, float]] = []
        self.refused: list[str] = []
        self.lost = 0
        self.tokens: list[uuid.UUID] = []

    def run(self) -> None:
        while not self.done.is_set():
            try:
                with connect(self.url) as connection:
                    self.write(connection)
            except psycopg.OperationalError:
                self.lost += 1

    def write(self, connection: psycopg.Connection[Any]) -> None:
        number = 0
        while not self.done.is_set():
            token = uuid.uuid4()
            number += 1
            statement, *parameters = (
                ("insert into ledger (token) values (%s)", token),
                ("insert into events values (%s, 'in')", token.int % 2**62),
                ("insert into events_out values (%s, 'out')", token.int % 2**62),
                ("update customers set name = name where id = 1",),
            )[number % 4]
            began = time.monotonic()
            try:
                connection.execute(statement, parameters)
            except psycopg.errors.ReadOnlySqlTransaction as error:
                self.refused.append(str(error))
            else:
                self.accepted.append((began, time.monotonic()))
                self.tokens.append(token)


def test_a_run_killed_within_the_open_fence_lets_the_source_serve_on(
    ready: Callable[..., Cutover], trader: Callable[[Cutover], Writer]
) -> None:
    cutover = ready()
    writer = trader(cutover)
    with cutover.fence_held() as events:
        events.process.kill()
        killed = time.monotonic()
        cutover.assert_serves_from(writer, killed)
        cutover.assert_source_is_open()
        assert not writer.errors
        assert cutover.project.json("status")["state"] == "seq_synced"
    cutover.complete(writer)


def test_a_run_that_stands_still_within_the_fence_loses_it(
    ready: Callable[..., Cutover], trader: Callable[[Cutover], Writer]
) -> None:
    cutover = ready()
    writer = trader(cutover)
    with cutover.fence_held() as events:
        events.process.send_signal(signal.SIGSTOP)
        stopped = time.monotonic()
        cutover.assert_serves_from(writer, stopped)
    events.process.send_signal(signal.SIGCONT)
    code, error = events.end()
    assert code == 5, error
    cutover.assert_serves_from(writer, time.monotonic())
    cutover.assert_source_is_open()
    assert not writer.errors
    cutover.complete(writer)


def test_a_drain_that_does_not_end_gives_the_source_back(
    ready: Callable[..., Cutover], trader: Callable[[Cutover], Writer]
) -> None:
    cutover = ready()
    writer = trader(cutover)
    with cutover.fence_held() as events:
        code, error = events.end()
        assert (code, error["error"]) == (5, "TimedOut")
        cutover.assert_serves_from(writer, time.monotonic())
        cutover.assert_source_is_open()
        assert not writer.errors
        assert writer.longest_pause < MAX_PAUSE + 1
    cutover.complete(writer)


@pytest.mark.parametrize("lock_timeout", ["1s", "5s"])
def test_an_application_that_locks_in_another_order_is_never_the_victim(
    ready: Callable[..., Cutover], lock_timeout: str
) -> None:
    cutover = ready(lock_timeout=lock_timeout, max_pause="10s")
    with psycopg.connect(cutover.source) as application:
        events = cutover.start_with_blockers((application, "update products set price = 1 where id = 1"))
        # The fence has the first table of the alphabet by now. It waits for the last one, and has
        # long looked for a deadlock and found none.
        small.wait_until(lambda: cutover.is_so(FENCE_WAITS, "products", "200 ms"), "the fence's lock")
        application.execute("update customers set name = 'b' where id = 1")
        application.commit()
    code, answer = events.end()
    assert code == 0, answer
    assert any("gave way" in note for note in events.notes())
    assert cutover.project.json("status")["state"] == "cutover"


def test_locks_that_are_had_one_after_the_other_stay_within_the_budget(
    ready: Callable[..., Cutover], trader: Callable[[Cutover], Writer]
) -> None:
    cutover = ready(lock_timeout="900ms", max_pause="1500ms", attempts=1)
    writer = trader(cutover)
    # Each is in the way for less than the lock timeout, together they are for longer than the budget.
    tables = ("customers", "events", "events_in", "ledger", "orders")
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(psycopg.connect(cutover.source)) for _table in tables]
        locks = [f"lock table {table} in row exclusive mode" for table in tables]
        events = cutover.start_with_blockers(*zip(slow, locks, strict=True))
        for connection, table in zip(slow, tables, strict=True):
            small.wait_until(
                lambda table=table: (
                    cutover.is_so(FENCE_WAITS, table, "500 ms") or events.process.poll() is not None
                ),
                f"the fence's wait for {table}",
            )
            connection.rollback()
        code, error = events.end()
    assert (code, error["error"]) == (5, "TimedOut"), error
    assert not writer.errors
    assert writer.longest_pause < 1.5 + 1
    cutover.assert_source_is_open()
