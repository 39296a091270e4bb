"""Fences that keep writers out before the locks: to and fro, given up, killed at any moment."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from migrator.app import App
from migrator.demo.proof import compare, find_missing
from migrator.errors import ConfigError, GateClosed, TimedOut, ToolFailed
from migrator.fences.read_only import ReadOnlyFence
from migrator.pg.session import ReadSession
from migrator.switchover import prelude, procedure
from tests.fixtures import small
from tests.fixtures.project import Project, clean_environment
from tests.fixtures.road import before, run
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect
from tests.fixtures.sides import Sides

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

EVERYWHERE, HERE, PLAIN = 'night "job" 50%', "importer's", "plain role"
ROLES = (EVERYWHERE, HERE, PLAIN)
SETTINGS = """
select r.rolname, s.setdatabase <> 0, s.setconfig
from pg_db_role_setting s
left join pg_roles r on r.oid = s.setrole
where s.setdatabase in (0, (select oid from pg_database where datname = current_database()))
order by 1, 2
"""
ADD = "insert into products (title, price) values ('{}', 1)"
OURS = "select count(*) from pg_stat_activity where application_name ~ '^migrator/'"
HANDED_OVER = "select count(*) from {}.journal where event = 'cutover'"
# The command line, to be hit by a signal at a moment within the hand-over.
DIES = """
import os, runpy, signal, sys
from migrator.fences import read_only
from migrator.switchover import procedure, unstreamed

def die(*arguments, **options):
    if how == "when the commit is sent":
        arguments[1].connection.pgconn.send_query(b"commit")
        arguments[1].connection.pgconn.flush()
    os.kill(os.getpid(), signal.SIGSTOP if how == "stopped" else signal.SIGKILL)
    raise SystemExit("it went on")

how = sys.argv.pop(1)
read_only.STANDS_STILL = 0
if how == "when the commit is sent":
    unstreamed.end_waiting = die
else:
    procedure.lock_and_fence = die
runpy.run_module("migrator", run_name="__main__", alter_sys=True)
"""


@pytest.fixture
def roles(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
) -> Iterator[None]:
    """Roles on both sides, with read-only defaults of their own that let them write."""
    ensure_roles([source_cluster, destination_cluster], *ROLES)
    both = source_database, destination_database
    for url in both:
        with connect(url) as owner:
            name = sql.Identifier(owner.info.dbname)
            for role in ROLES:
                owner.execute(sql.SQL("alter role {} login").format(sql.Identifier(role)))
            owner.execute(alter(EVERYWHERE, "set default_transaction_read_only = 'FALSE'"))
            if url == source_database:
                owner.execute(alter(HERE, "in database {} set default_transaction_read_only = 'no'", name))
                owner.execute(alter(HERE, "in database {} set work_mem = '5MB'", name))
    yield
    for url in both:
        with connect(url) as owner:
            owner.execute(alter(EVERYWHERE, "reset all"))


def alter(role: str, what: str, *names: sql.Identifier) -> sql.Composed:
    return sql.SQL(f"alter role {{}} {what}").format(sql.Identifier(role), *names)


def default_of(url: str, role: str) -> str:
    """Return what a session of a role that begins now is held to."""
    with psycopg.connect(url, user=role) as session:
        return session.execute("show default_transaction_read_only").fetchone()[0]


def is_open(road: Road, url: str) -> bool:
    """Return whether nothing keeps writers out of a database."""
    up = "select count(*) from pg_proc where proname = 'refuse_write' and prosrc ~ 'raise exception'"
    with psycopg.connect(url) as session:
        default = session.execute("show default_transaction_read_only").fetchone()
        kept = session.execute(f"select count(*) from {registry(road)}.journal where event = 'fencing'")
        return (default, session.execute(up).fetchone(), kept.fetchone()) == (("off",), (0,), (0,))


def registry(road: Road) -> str:
    return f"migrator_{road.app.journal().load('move').key}"


def reopen(road: Road, **sections: Any) -> None:
    """Have the road go on with other sections of its configuration."""
    given = {"migration": {"name": "move"}, "source": {"url": road.source}}
    given |= {"destination": {"url": road.destination}, **sections}
    road.project = Project(road.project.directory, given)
    road.app.__exit__()
    road.app = App.open(road.project.path, confirm=lambda _question: True)


def hit(road: Road, how: str, *command: str) -> subprocess.Popen[str]:
    """Run a command until it is hit."""
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, how, "--config", str(road.project.path), "--yes", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment(),
    )
    road.project.started.append(process)
    if how == "stopped":
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
    else:
        process.wait(60)
        assert process.returncode == -signal.SIGKILL, process.communicate()[0]
    return process


# ---- read_only


def test_the_writes_go_to_and_fro_and_roles_of_their_own_mind_are_held_meanwhile(
    road: Roads, roles: None, writer: Callable[..., Writer]
) -> None:
    moved = road("", setup="select 1", cutover={"fence": "read_only", "max_pause": "5s"})
    small.load(moved.source, rows=100)
    moved.plan()
    moved.advance("seq_synced")
    was = moved.on_source(SETTINGS)
    there: list[Any] = []
    acknowledged: set[Any] = set()
    with Sides(moved.source, moved.destination) as sides:
        for seed in range(2):
            clients = writer(moved.source, small.trade, sessions=2, seed=seed)
            clients.wait_for(10)
            moved.advance("cutover")
            clients.stop()
            acknowledged |= clients.acknowledged
            assert [default_of(moved.source, role) for role in ROLES] == ["on"] * 3
            assert [default_of(moved.destination, role) for role in ROLES] == ["off"] * 3
            assert there in ([], moved.on_destination(SETTINGS))
            there = moved.on_destination(SETTINGS)
            sides.serves("destination", time.monotonic(), within=5)
            moved.rollback("seq_synced")
            assert moved.on_source(SETTINGS) == was
            assert [default_of(moved.destination, role) for role in ROLES] == ["on"] * 3
            sides.serves("source", time.monotonic(), within=5)
        sides.stop()
        sides.prove(moved.source, switchovers=4)
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    assert find_missing(moved.destination, acknowledged) == set()
    moved.complete()
    assert [default_of(moved.source, role) for role in ROLES] == ["on"] * 3


def test_a_long_transaction_is_ended_where_the_lock_gives_up(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"attempts": 1, "lock_timeout": "200ms"})
    with contextlib.closing(psycopg.connect(moved.source, application_name="nightly")) as long:

        def write() -> None:
            long.execute(ADD.format("long"))

        before(monkeypatch, procedure.proof, "prepare", write)
        assert "nightly" in moved.refuse(TimedOut, 5)
        reopen(moved, cutover={"fence": "read_only", "attempts": 1, "max_transaction_age": "1ms"})
        moved.advance("cutover")
        with pytest.raises(psycopg.OperationalError):
            long.execute("select 1")


@pytest.mark.parametrize("how", ["killed", "stopped", "when the commit is sent"])
def test_a_run_that_dies_after_it_kept_writers_out_lets_them_in_unless_it_is_committed(
    how: str, road: Roads, roles: None
) -> None:
    moved = road("seq_synced", cutover={"fence": "read_only", "max_pause": "1s"})
    was = moved.on_source(SETTINGS)
    process = hit(moved, how, "advance")
    if how == "when the commit is sent":
        small.wait_until(lambda: moved.on_source(OURS) == [(0,)], "the watchdog to end")
        assert moved.on_source(HANDED_OVER.format(registry(moved))) == [(1,)]
        assert [default_of(moved.source, role) for role in ROLES] == ["on"] * 3
        for url in (moved.source, moved.destination):
            with connect(url) as application, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                application.execute(ADD.format("nobody serves"))
    else:
        small.wait_until(lambda: is_open(moved, moved.source), "writers to be let in", timeout=5)
        assert moved.on_source(SETTINGS) == was
        run(moved.source, ADD.format("served"))
    if how == "stopped":
        process.send_signal(signal.SIGCONT)
        assert "it went on" in process.communicate(timeout=20)[0]
        assert is_open(moved, moved.source)
        return
    moved.advance("cutover")
    assert [default_of(moved.destination, role) for role in ROLES] == ["off"] * 3
    moved.rollback("seq_synced")
    assert moved.on_source(SETTINGS) == was


def test_what_no_watchdog_has_undone_the_next_run_undoes(
    road: Roads, roles: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"fence": "read_only"}, cleanup={"source_read_only": False})
    was = moved.on_source(SETTINGS)
    for go_on in (partial(rehearse, moved), moved.app.refresh, moved.advance):
        with monkeypatch.context() as patch:
            patch.setattr(ReadOnlyFence, "let_in", lambda _self, _ctx: None)
            patch.setattr(ReadOnlyFence, "release", lambda self: self._watchdog.dismiss())
            before(patch, procedure, "lock_and_fence", stop)
            with pytest.raises(KeyboardInterrupt):
                moved.advance("cutover")
            assert not is_open(moved, moved.source)
            assert any("kept out of the source" in said for said in moved.app.status().warnings)
        go_on()
    moved.complete()
    assert moved.on_source(SETTINGS) == was


def stop() -> None:
    raise KeyboardInterrupt


def rehearse(road: Road) -> None:
    """Rehearse with a client that writes nothing; its session is ended, and everything else is as before."""
    with contextlib.closing(psycopg.connect(road.source)) as idle:
        idle.execute("select 1")
        road.app.rehearse()
        with pytest.raises(psycopg.OperationalError):
            idle.execute("select 1")
    assert is_open(road, road.source)


def test_a_session_that_does_not_end_is_named_and_everything_is_as_it_was(road: Roads, roles: None) -> None:
    moved = road("seq_synced", cutover={"fence": "read_only", "max_pause": "1s"})
    was = moved.on_source(SETTINGS)
    rehearse(moved)
    assert moved.on_source(SETTINGS) == was
    with contextlib.closing(psycopg.connect(moved.source, application_name="stubborn")) as stubborn:
        stubborn.execute(ADD.format("never"))
        os.kill(stubborn.info.backend_pid, signal.SIGSTOP)
        try:
            said = moved.refuse(TimedOut, 5, "cutover")
        finally:
            os.kill(stubborn.info.backend_pid, signal.SIGCONT)
        for named in (f"pid {stubborn.info.backend_pid} ", "role postgres", "stubborn", "insert into"):
            assert named in said
        assert is_open(moved, moved.source)
    assert moved.on_source(SETTINGS) == was


def test_a_role_that_we_may_not_alter_is_found_beforehand(
    road: Roads, roles: None, source_cluster: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced", cutover={"fence": "read_only"})
    ensure_roles([source_cluster], "limited")
    run(moved.source, "alter role limited login createrole")
    with ReadSession.open(
        psycopg.conninfo.make_conninfo(moved.source, user="limited"), side="source", application="test"
    ) as limited:
        found = prelude.overriding(limited)
    assert [(row.role, row.alterable) for row in found] == [(HERE, False), (EVERYWHERE, False)]
    monkeypatch.setattr(prelude, "overriding", lambda _session: found)
    assert f"{HERE}, {EVERYWHERE}" in moved.refuse(GateClosed, 4, "cutover")
    assert is_open(moved, moved.source)


# ---- command


class Maintenance:
    """The operator's program: it writes down what it is told, and fails when told to."""

    def __init__(self, directory: Path) -> None:
        self.log, self.fails = directory / "log", directory / "fails"
        program = directory / "maintenance.py"
        program.write_text(
            "import json, os, pathlib, sys\n"
            f"fails = pathlib.Path({str(self.fails)!r})\n"
            "told = {k: v for k, v in os.environ.items() if k.startswith('MIGRATOR_')}\n"
            f"with open({str(self.log)!r}, 'a') as log:\n"
            "    print(json.dumps([sys.argv[1], told]), file=log)\n"
            "if fails.exists() and sys.argv[1] in fails.read_text():\n"
            "    sys.exit('it is broken')\n",
            encoding="utf-8",
        )
        words = [sys.executable, str(program)]
        self.section = {"command": {"raise": [*words, "on"], "release": [*words, "off"]}}

    def ran(self) -> list[tuple[str, str]]:
        """Return since the last time what ran, and which side it was told of."""
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        found = []
        for word, told in map(json.loads, lines):
            source = told["MIGRATOR_FROM"] == told["MIGRATOR_SOURCE"]
            assert told["MIGRATOR_DIRECTION"] == ("forward" if source else "back")
            assert told["MIGRATOR_MIGRATION"] == "move"
            found.append((word, "source" if source else "destination"))
        return found

    def fail(self, *words: str) -> None:
        self.fails.write_text(" ".join(words), encoding="utf-8")


@pytest.fixture
def maintenance(tmp_path: Path) -> Maintenance:
    return Maintenance(tmp_path)


def test_the_programs_keep_writers_out_of_the_side_that_gives_its_writes_away(
    road: Roads, maintenance: Maintenance
) -> None:
    moved = road("seq_synced", cutover={"fence": "command"}, fence=maintenance.section)
    moved.app.rehearse()
    assert maintenance.ran() == [("on", "source"), ("off", "source")]
    moved.advance("cutover")
    assert maintenance.ran() == [("on", "source")]
    maintenance.fail("off")
    with pytest.raises(ToolFailed, match="release failed with exit code 1: it is broken"):
        moved.rollback("seq_synced")
    assert maintenance.ran() == [("on", "destination"), ("off", "source")]
    maintenance.fail()
    moved.rollback("seq_synced")
    assert maintenance.ran() == [("off", "source")]
    moved.complete()
    assert maintenance.ran() == [("on", "source"), ("off", "destination")]


def test_a_program_that_fails_gives_the_hand_over_up_and_lets_writers_in(
    road: Roads, maintenance: Maintenance
) -> None:
    moved = road("seq_synced", cutover={"fence": "command"}, fence=maintenance.section)
    maintenance.fail("on")
    assert "it is broken" in moved.refuse(ToolFailed, 5, "cutover")
    assert maintenance.ran() == [("on", "source"), ("off", "source")]
    assert is_open(moved, moved.source)
    maintenance.fail("on", "off")
    moved.refuse(ToolFailed, 5, "cutover")
    maintenance.fail()
    assert maintenance.ran() == [("on", "source"), ("off", "source")]
    moved.advance("cutover")
    assert maintenance.ran() == [("off", "source"), ("on", "source")]


def test_the_run_after_one_that_was_killed_lets_writers_in(road: Roads, maintenance: Maintenance) -> None:
    moved = road("seq_synced", cutover={"fence": "command"}, fence=maintenance.section)
    hit(moved, "killed", "advance")
    assert maintenance.ran() == [("on", "source")]
    moved.rollback("replicating")
    assert maintenance.ran() == [("off", "source")]


def test_a_program_that_is_missing_is_a_closed_gate_or_refused_with_its_key(
    road: Roads, maintenance: Maintenance
) -> None:
    section = {"command": {**maintenance.section["command"], "release": ["/nowhere/maintenance"]}}
    moved = road("seq_synced", cutover={"fence": "command"}, fence=section)
    assert "[fence.command] release: '/nowhere/maintenance'" in moved.refuse(GateClosed, 4, "cutover")
    assert maintenance.ran() == []
    for key in ("raise", "release"):
        words = {**maintenance.section["command"], key: []}
        with pytest.raises(ConfigError, match=rf"fence\.command\.{key} is \[\]; with cutover\.fence"):
            reopen(moved, cutover={"fence": "command"}, fence={"command": words})
