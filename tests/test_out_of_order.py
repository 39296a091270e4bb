"""Every command in every state: what is not its turn is refused by name, and nothing is written."""

from __future__ import annotations

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from migrator.cli.main import run
from migrator.workflow import STATES, State
from tests.fixtures import small

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.fixtures.project import Project

Words = tuple[str, ...]

LOOKS: tuple[Words, ...] = (
    ("status",),
    ("progress",),
    ("copy-progress",),
    ("history",),
    ("graph",),
    *(("explain", state) for state in STATES),
)


class Walk:
    """A small migration, and everything that a refused command must leave as it is."""

    def __init__(self, project: Project, source: str, destination: str) -> None:
        self.project = project
        self.source, self.destination = source, destination

    def command(self, *words: str) -> tuple[int, Any]:
        """Run a command in this process; return its exit code and what it answered."""
        answer = io.StringIO()
        with redirect_stdout(answer), redirect_stderr(io.StringIO()):
            code = run(["--config", str(self.project.path), "--json", "--yes", *words])
        return code, json.loads(answer.getvalue())

    def go(self, *words: str) -> None:
        code, answer = self.command(*words)
        assert code == 0, answer

    def state(self) -> State:
        return State(self.command("status")[1]["state"])

    def everything(self) -> dict[str, Any]:
        return {"store": small.store_rows(self.project), **self.catalogs()}

    def catalogs(self, *, ours: bool = True) -> dict[str, Any]:
        return {url: small.fingerprint(url, ours=ours) for url in (self.source, self.destination)}

    def undone(self) -> dict[str, Any]:
        """Return the catalogs without our own tables' rows and the fence's function, which does no harm."""
        found = self.catalogs(ours=False)
        for kinds in found.values():
            kinds["function"] = [row for row in kinds["function"] if ".refuse_write" not in row]
        return found

    def begin_and_kill(self, step: str, *words: str) -> None:
        """Start a command and kill it as soon as it begins ``step``."""
        process = self.project.start("--json", "--yes", *words)
        assert process.stderr is not None
        for line in process.stderr:
            event = json.loads(line)
            if event["event"] == "StepStarted" and event["step"] == step:
                process.kill()
                process.communicate()
                return
        pytest.fail(f"{' '.join(words)} ended before {step}: {process.communicate()[0]}")


@pytest.fixture
def walk(project: Callable[..., Project], source_database: str, destination_database: str) -> Walk:
    small.load(source_database, rows=100)
    return Walk(project(source_database, destination_database), source_database, destination_database)


def refusals(state: State) -> Iterator[Words]:
    """Give every command that is out of order in a state."""
    here = STATES.index(state)
    if here > 0:
        yield from (("plan",), ("plan", "--dry-run"))
    for number, other in enumerate(STATES):
        if number <= here:
            yield from (("advance", "--to", other), ("advance", "--to", other, "--dry-run"))
        if number > here or state is State.CLEANED or state is other is State.CUTOVER:
            yield from (("rollback-to", other), ("rollback-to", other, "--dry-run"))
    if state not in (State.REPLICATING, State.SEQ_SYNCED):
        for beside in ("refresh", "rehearse"):
            yield from ((beside,), (beside, "--dry-run"))
    if state is State.CLEANED:
        yield from (("advance",), ("advance", "--dry-run"))
    if state in (State.PLANNED, State.CLEANED):
        yield ("copy-diff",)
    if state in (State.PLANNED, State.SCHEMA_COPIED, State.CLEANED):
        yield ("diff",)


def looks(state: State) -> Iterator[Words]:
    """Give every command that only looks and is in order in a state."""
    yield from LOOKS
    here = STATES.index(state)
    if state is State.PLANNED:
        yield ("plan", "--dry-run")
    if state is not State.CLEANED:
        yield ("advance", "--dry-run")
        yield from (("advance", "--to", other, "--dry-run") for other in STATES[here + 1 :])
    if state is not State.CLEANED:
        last = here if state is State.CUTOVER else here + 1
        yield from (("rollback-to", other, "--dry-run") for other in STATES[:last])
    if state in (State.REPLICATING, State.SEQ_SYNCED):
        yield from ((beside, "--dry-run") for beside in ("refresh", "rehearse"))
    if state in (State.REPLICATING, State.SEQ_SYNCED, State.CUTOVER):
        yield from (("copy-diff",), ("diff",))


def test_every_command_in_every_state_is_run_or_refused_by_the_table(walk: Walk) -> None:
    walk.go("plan")
    for state in STATES:
        if state is not State.PLANNED:
            walk.go("advance")
        assert walk.state() is state
        before = walk.everything()
        for words in looks(state):
            code, answer = walk.command(*words)
            assert code == 0, (state, words, answer)
            assert walk.everything() == before, (state, words)
        for words in refusals(state):
            code, error = walk.command(*words)
            assert code == 3, (state, words, error)
            assert_is_refusal(error, state, words)
            assert walk.everything() == before, (state, words)
        for words in (("advance", "--to", "nowhere"), ("rollback-to", "nowhere"), ("explain", "nowhere")):
            code, error = walk.command(*words)
            assert (code, error["exit_code"], error["error"]) == (2, 2, "UnknownName"), (state, words)
            assert walk.everything() == before, (state, words)


def assert_is_refusal(error: dict[str, Any], state: State, words: Words) -> None:
    """Make sure that a refusal says what happened, where the migration stands, and what to type."""
    assert error.keys() >= {"error", "message", "hint", "exit_code"}
    assert error["exit_code"] == 3
    assert error["error"] in ("OutOfOrder", "PastNoReturn", "MigrationExists")
    assert error["hint"].startswith("migrator "), (state, words, error)
    assert state in error["message"], (state, words, error)
    if error["error"] == "OutOfOrder" and state is not State.CLEANED:
        assert error["allowed"], error
        assert error["allowed"][0] in error["message"]


def test_before_the_plan_nothing_but_the_plan_is_accepted(walk: Walk) -> None:
    before = walk.catalogs()
    commands: list[Words] = [("status",), ("progress",), ("history",), ("advance",)]
    commands += [(verb, state) for verb in ("rollback-to",) for state in STATES]
    commands += [("advance", "--to", state) for state in STATES]
    for words in commands:
        code, error = walk.command(*words)
        assert (code, error["error"], error["hint"]) == (2, "UnknownMigration", "migrator plan"), words
    assert walk.catalogs() == before
    assert small.store_rows(walk.project) == {}


def test_what_is_rolled_back_is_as_it_was_and_goes_forward_again(walk: Walk) -> None:
    walk.go("plan")
    way = STATES[: STATES.index(State.SEQ_SYNCED) + 1]
    stood = {State.PLANNED: walk.catalogs()}
    for state in way[1:]:
        walk.go("advance")
        stood[state] = walk.undone()
    for state in reversed(way[1:-1]):
        walk.go("rollback-to", state)
        assert walk.state() is state
        assert walk.undone() == stood[state], state
    walk.go("rollback-to", "planned")
    assert walk.catalogs() == stood[State.PLANNED]
    walk.go("advance", "--to", "seq_synced")
    assert walk.undone() == stood[State.SEQ_SYNCED]
    walk.go("rollback-to", "planned")
    assert walk.catalogs() == stood[State.PLANNED]
    walk.go("advance", "--to", "cleaned")
    assert small.leftovers(walk.source, walk.destination) == []


def test_a_failed_advance_is_undone_by_a_rollback_to_where_it_began(walk: Walk) -> None:
    walk.go("plan")
    walk.go("advance")
    stood = walk.undone()
    walk.begin_and_kill("add_foreign_keys", "advance")
    assert walk.undone() != stood
    walk.go("rollback-to", "schema_copied")
    assert walk.undone() == stood


def test_a_killed_rollback_goes_on_or_forward_again(walk: Walk) -> None:
    walk.go("plan")
    planned = walk.catalogs()
    walk.go("advance", "--to", "replicating")
    stood = walk.undone()
    for step in ("create_subscription", "copy_tables", "restore_pre_data"):
        walk.begin_and_kill(step, "rollback-to", "planned")
        walk.go("advance", "--to", "replicating")
        assert walk.undone() == stood, step
        walk.begin_and_kill(step, "rollback-to", "planned")
        walk.go("rollback-to", "planned")
        assert walk.catalogs() == planned, step
        walk.go("advance", "--to", "replicating")


def test_a_cutover_that_is_committed_and_not_finished_is_completed_either_way(walk: Walk) -> None:
    walk.go("plan")
    walk.go("advance", "--to", "seq_synced")
    walk.begin_and_kill("switch_route", "advance")
    assert walk.state() is State.SEQ_SYNCED
    before = walk.everything()
    # The lease of the killed run tells who it was, until somebody takes it over.
    assert len(before["store"].pop("lease")) == 1
    for words in (("refresh",), ("refresh", "--dry-run"), ("rehearse",), ("rehearse", "--dry-run")):
        code, error = walk.command(*words)
        assert (code, error["error"]) == (3, "PastNoReturn"), words
        after = walk.everything()
        after["store"].pop("lease")
        assert after == before, words
    warned = walk.command("status")[1]["warnings"]
    assert any("committed and not finished" in warning for warning in warned)
    walk.go("rollback-to", "seq_synced")
    assert walk.state() is State.SEQ_SYNCED
    walk.begin_and_kill("switch_route", "advance")
    walk.go("advance", "--to", "cleaned")
    assert small.leftovers(walk.source, walk.destination) == []
