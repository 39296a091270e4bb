from __future__ import annotations

import io
import json
import os
import signal
import stat
import subprocess
import sys
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from migrator import errors
from migrator.cli import explain, main, session
from migrator.cli.main import COMMANDS, run
from migrator.cli.options import Options
from migrator.report import (
    AdvanceReport,
    AttemptReport,
    FindingReport,
    HistoryReport,
    PlanReport,
    ProgressReport,
    ServerReport,
    StatusReport,
    TransitionReport,
)
from migrator.workflow import STATES, Lifecycle, State

SOURCE = ServerReport("source", "127.0.0.1:5432", "shop", "17.10")
DESTINATION = ServerReport("destination", "127.0.0.1:5433", "shop", "18.6")
MUTATING = [["plan"], ["advance"], ["rollback-to", "planned"]]
PLAN = PlanReport("shop", "planned", SOURCE, DESTINATION, 2, 5000, 1, (), ())


class FakeApp:
    """An application that notes what is asked of it."""

    def __init__(self, state: State = State.REPLICATING) -> None:
        self.lifecycle = Lifecycle(state)
        self.calls: list[tuple[str, Any]] = []
        self.fails: BaseException | None = None
        self.options: Options | None = None
        self.confirm: Any = None
        self.waived: tuple[str, ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.calls.append(("close", None))

    def _called(self, name: str, argument: Any = None) -> None:
        self.calls.append((name, argument))
        if self.fails is not None:
            raise self.fails

    def plan(self, *, dry_run: bool) -> PlanReport:
        self._called("plan", dry_run)
        return PLAN

    def waive(self, reasons: tuple[str, ...]) -> None:
        self.waived = reasons

    def preview_advance(self, to: State | None) -> PlanReport:
        self._called("preview_advance", to)
        if to is not None:
            self.lifecycle.path_to(to)
        return replace(PLAN, transitions=(TransitionReport("cut_over", "seq_synced", "cutover", "next"),))

    def advance(self, to: State | None) -> AdvanceReport:
        self._called("advance", to)
        if to is not None:
            self.lifecycle.path_to(to)
        return AdvanceReport("shop", "planned", "schema_copied", 1.0, "migrator advance")

    def preview_rollback(self, to: State) -> PlanReport:
        self._called("preview_rollback", to)
        return PLAN

    def rollback(self, to: State) -> AdvanceReport:
        self._called("rollback", to)
        self.lifecycle.path_back_to(to)
        return AdvanceReport("shop", "replicating", "planned", 1.0, "migrator advance")

    def status(self) -> StatusReport:
        self._called("status")
        return StatusReport("shop", "replicating", "migrator advance", SOURCE, DESTINATION, ())

    def progress(self) -> ProgressReport:
        self._called("progress")
        return ProgressReport("shop", "replicating", 1, 2, 10, 20, 5, 0.0, None, ())

    def history(self) -> HistoryReport:
        self._called("history")
        at = datetime(2026, 2, 3, tzinfo=UTC)
        attempts = [
            AttemptReport(n, "replicate", "copy_tables", "apply", "done", at, at, "h", 1, "0.1.0")
            for n in range(1, 6)
        ]
        return HistoryReport("shop", "replicating", tuple(attempts))

    def state(self) -> State | None:
        self._called("state")
        return State(self.lifecycle.state)


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FakeApp:
    fake = FakeApp()

    def open_app(options: Options, emit: Any, confirm: Any) -> FakeApp:
        fake.calls.append(("open", None))
        fake.options = options
        fake.confirm = confirm
        return fake

    monkeypatch.setattr(session, "open_app", open_app)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return fake


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))


def names(app: FakeApp) -> list[str]:
    return [name for name, _ in app.calls]


# --- help ------------------------------------------------------------------------------------


def test_help_lists_every_command_without_importing_what_is_slow() -> None:
    probe = (
        "import sys; from migrator.cli.main import run; code = run(['--help']);"
        "slow = {'sqlalchemy', 'psycopg', 'rich', 'alembic', 'asyncpg'} & set(sys.modules);"
        "sys.exit(f'imported {slow}' if slow else code)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name, short in COMMANDS.items():
        assert name in done.stdout
        assert short in " ".join(done.stdout.split())


def test_help_is_fast() -> None:
    def once() -> float:
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "migrator", "--help"], capture_output=True, check=True)
        return time.perf_counter() - begun

    # Best of several: a busy machine says nothing about the program.
    assert min(once() for _ in range(10)) < 0.15


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = main.cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    assert command.name == name
    assert run([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: migrator {name}" in out
    for option in ("--config", "--migration", "--json", "--yes", "--verbose"):
        assert option in out


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("migrator, version ")


# --- usage -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "no command is given"),
        (["advnce"], "did you mean advance?"),
        (["status", "--nope"], "--nope"),
        (["rollback-to"], "STATE"),
        (["advance", "--to", "nowhere"], "planned, schema_copied, replicating"),
        (["rollback-to", "nowhere"], "planned, schema_copied, replicating"),
        (["graph", "--format", "svg"], "mermaid"),
        (["history", "--limit", "0"], "--limit"),
        (["progress", "--watch", "0"], "--watch"),
        (["progress", "--watch", "nan"], "'nan' is not a number of seconds"),
        (["diff", "--shadow"], "--shadow is of a comparison of schemas"),
        (["diff", "--ddl", "shop"], "--ddl is of a comparison of schemas"),
        (["diff", "--count", "--fix-sql", "x"], "--fix-sql needs to know the rows"),
        (["diff", "--timeout", "inf"], "'inf' is not a number of seconds"),
        (["diff", "--source", "nowhere", "--destination", "host=x"], "the source's url cannot be used"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_accepted(
    app: FakeApp, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    assert run(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert said in captured.err
    assert app.calls == []

    assert run([*arguments, "--json"]) == 2
    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert told["exit_code"] == 2
    assert said in told["message"]
    assert captured.err == ""


# --- options ---------------------------------------------------------------------------------


def test_global_options_are_taken_before_and_after_the_command(app: FakeApp) -> None:
    assert run(["--config", "a.toml", "--migration", "x", "-v", "status", "--json"]) == 0
    assert app.options == Options(Path("a.toml"), "x", as_json=True, yes=False, verbose=True)
    assert run(["status", "--config", "b.toml", "--yes"]) == 0
    assert app.options == Options(Path("b.toml"), yes=True)


def test_the_later_place_wins(app: FakeApp) -> None:
    assert run(["--config", "a.toml", "status", "--config", "b.toml"]) == 0
    assert app.options == Options(Path("b.toml"))


def test_the_environment_names_the_file_unless_an_option_does(
    app: FakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MIGRATOR_CONFIG", "env.toml")
    assert run(["status"]) == 0
    assert app.options == Options(Path("env.toml"))
    assert run(["--config", "a.toml", "status"]) == 0
    assert app.options == Options(Path("a.toml"))
    assert run(["status", "--config", "b.toml"]) == 0
    assert app.options == Options(Path("b.toml"))


def test_the_default_file_is_migrator_toml() -> None:
    assert Options().config_path == Path("migrator.toml")


# --- exit codes ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.ConfigError("m", hint="h"), 2),
        (errors.UnknownMigration("m", hint="h"), 2),
        (errors.LeaseHeld("m", hint="h"), 3),
        (errors.PastNoReturn("m", hint="h"), 3),
        (errors.GateClosed("m", hint="h"), 4),
        (errors.VerifyFailed("m", hint="h"), 5),
        (errors.Unreachable("m", hint="h"), 6),
    ],
)
def test_an_error_ends_with_its_code_its_text_and_its_hint(
    app: FakeApp, capsys: pytest.CaptureFixture[str], error: errors.MigratorError, code: int
) -> None:
    app.fails = error
    assert run(["status"]) == code
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "error: m\nhint: h\n")
    assert run(["--json", "status"]) == code
    captured = capsys.readouterr()
    assert json.loads(captured.out) == error.as_dict()
    assert captured.err == ""


def test_a_bug_exits_1_with_its_traceback_and_no_password(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    app.fails = ZeroDivisionError("postgresql://a:s3cret@b/c")
    assert run(["status"]) == 1
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert "please report it" in captured.err
    assert "s3cret" not in captured.err
    assert run(["status", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "Bug"


def test_an_interrupt_exits_130_and_closes_the_application(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    app.fails = KeyboardInterrupt()
    assert run(["advance", "--yes", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["exit_code"] == 130
    assert names(app)[-1] == "close"


def test_sigterm_ends_like_an_interrupt() -> None:
    probe = (
        "import os, signal, time; from migrator.cli import main, status, session\n"
        "def open_app(*_):\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(5)\n"
        "session.open_app = open_app\n"
        "main.main(['status'])\n"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 130
    assert "error: interrupted" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", ["['explain', 'cleaned']", "['graph']", "['--help']"])
def test_a_reader_that_has_gone_is_no_error(arguments: str, tmp_path: Path) -> None:
    probe = (
        "import sys; from migrator.cli import main, explain\n"
        "explain.step_manuals = explain.check_manuals = dict\n"
        f"sys.stdin.read(); main.main({arguments})\n"
    )
    reader, writer = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", probe],
        stdin=subprocess.PIPE,
        stdout=writer,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "MIGRATOR_CONFIG"},
    ) as process:
        os.close(writer)
        os.close(reader)
        _, told = process.communicate(b"", timeout=30)
    assert told == b""
    assert process.returncode == 0


def test_a_stream_that_knows_no_arrow_does_not_fail(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from migrator.cli import main; main.main(['explain', '→'])"],
        capture_output=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        cwd=tmp_path,
    )
    assert b"UnicodeEncodeError" not in done.stderr


def test_no_password_leaves_in_an_error(app: FakeApp, capsys: pytest.CaptureFixture[str]) -> None:
    secret = "host=b password=s3cret"
    app.fails = errors.ToolFailed(secret, command=[secret], output={"first": secret})
    for arguments in (["status"], ["status", "--json"]):
        assert run(arguments) == 5
        captured = capsys.readouterr()
        assert "s3cret" not in captured.out + captured.err
        assert "***" in captured.out + captured.err


# --- consent ---------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", MUTATING, ids=lambda a: a[0])
def test_without_a_terminal_and_without_yes_nothing_is_touched(
    app: FakeApp, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run(arguments) == 2
    assert app.calls == []
    assert "hint: the same command with --yes" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", MUTATING, ids=lambda a: a[0])
@pytest.mark.parametrize("typed", ["n\n", "\n"])
def test_no_is_no_and_nothing_is_written(
    app: FakeApp,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    typed: str,
) -> None:
    at_a_terminal(monkeypatch, typed)
    assert run(arguments) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "shop" in captured.err
    assert "[y/N]" in captured.err
    assert ("plan", False) not in app.calls
    assert not {"advance", "rollback"} & set(names(app))


def test_the_end_of_input_is_not_a_yes(app: FakeApp, monkeypatch: pytest.MonkeyPatch) -> None:
    at_a_terminal(monkeypatch, "")
    assert run(["advance"]) == 130
    assert "advance" not in names(app)


@pytest.mark.parametrize(
    ("arguments", "calls"),
    [
        (["plan"], [("plan", True), ("plan", False)]),
        (["advance"], [("preview_advance", None), ("advance", None)]),
        (
            ["advance", "--to", "cutover"],
            [("preview_advance", State.CUTOVER), ("advance", State.CUTOVER)],
        ),
        (
            ["rollback-to", "planned"],
            [("preview_rollback", State.PLANNED), ("rollback", State.PLANNED)],
        ),
    ],
)
def test_yes_on_the_terminal_goes_on(
    app: FakeApp,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    calls: list[Any],
) -> None:
    at_a_terminal(monkeypatch, "y\n")
    assert run([*arguments, "--json"]) == 0
    assert app.calls == [("open", None), *calls, ("close", None)]
    assert json.loads(capsys.readouterr().out)["migration"] == "shop"


@pytest.mark.parametrize("arguments", MUTATING, ids=lambda a: a[0])
def test_yes_as_an_option_asks_nothing(
    app: FakeApp, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    assert run([*arguments, "--yes"]) == 0
    assert not [name for name in names(app) if name.startswith("preview")]
    assert app.confirm("Is the route switched?") is True
    captured = capsys.readouterr()
    assert captured.out.startswith("shop")
    assert captured.err == ""


@pytest.mark.parametrize("arguments", MUTATING, ids=lambda a: a[0])
def test_a_dry_run_never_asks_and_never_writes(app: FakeApp, arguments: list[str]) -> None:
    assert run([*arguments, "--dry-run"]) == 0
    assert ("plan", False) not in app.calls
    assert not {"advance", "rollback"} & set(names(app))


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("target", STATES)
def test_out_of_order_is_refused_with_what_is_allowed_now(
    app: FakeApp, capsys: pytest.CaptureFixture[str], state: State, target: State
) -> None:
    app.lifecycle = Lifecycle(state)
    ahead = STATES.index(target) > STATES.index(state)
    assert run(["advance", "--to", target, "--yes"]) == (0 if ahead else 3)
    if not ahead:
        told = capsys.readouterr().err
        reason = f"and {target} is not ahead" if target is not state else "already"
        assert f"refused: the migration is {state} {reason}" in told
        assert "hint: migrator" in told
    back = not ahead and state is not State.CLEANED and not state is target is State.CUTOVER
    assert run(["rollback-to", target, "--yes"]) == (0 if back else 3)


def test_blocking_findings_come_first_each_with_its_fix(
    app: FakeApp, capsys: pytest.CaptureFixture[str]
) -> None:
    warn = FindingReport("sizes", "warn", "public.big", "is large", "")
    block = FindingReport("replica_identity", "block", "public.log", "has no key", "ALTER TABLE\n  x;")
    app.fails = errors.ChecksBlocked("1 finding blocks", findings=[warn, block])
    assert run(["plan", "--yes"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: 1 finding blocks",
        "blocks  replica_identity  public.log: has no key",
        "    ALTER TABLE",
        "      x;",
        "warns  sizes  public.big: is large",
    ]
    assert run(["plan", "--yes", "--json"]) == 4
    assert json.loads(capsys.readouterr().out)["findings"][1]["check"] == "replica_identity"
    app.fails = errors.ChecksBlocked("1 finding blocks", findings=[warn.as_dict()])
    assert run(["plan", "--yes"]) == 4
    assert "warns  sizes" in capsys.readouterr().err


# --- commands --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["status", "progress", "copy-progress", "history"])
def test_looking_answers_on_stdout_as_text_and_as_one_object(
    app: FakeApp, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert run([name]) == 0
    assert capsys.readouterr().out.startswith("shop  replicating")
    assert run([name, "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["migration"] == "shop"
    assert captured.err == ""


def test_history_keeps_the_last_attempts(app: FakeApp, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["history", "--limit", "2", "--json"]) == 0
    attempts = json.loads(capsys.readouterr().out)["attempts"]
    assert [attempt["number"] for attempt in attempts] == [4, 5]


@pytest.mark.parametrize("name", ["progress", "copy-progress"])
def test_progress_looks_again_until_interrupted(
    app: FakeApp, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("migrator.cli.progress.time.sleep", sleep)
    assert run([name, "--watch", "2"]) == 130
    assert waits == [2.0, 2.0, 2.0]
    assert capsys.readouterr().out.count("shop  replicating") == 3


def test_init_writes_the_template_for_its_owner_only_and_never_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGRATOR_CONFIG", raising=False)
    assert run(["init"]) == 0
    path = tmp_path / "migrator.toml"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_text("mine")
    assert run(["init"]) == 3
    assert "exists and was not touched" in capsys.readouterr().err
    assert path.read_text() == "mine"
    assert run(["init", "--config", "no/such/dir.toml"]) == 2


def test_graph_needs_neither_file_nor_store(
    app: FakeApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MIGRATOR_CONFIG", raising=False)
    assert run(["graph"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("stateDiagram-v2")
    assert "class " not in out
    assert app.calls == []


def test_graph_marks_the_current_state(
    app: FakeApp,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrator.toml").touch()
    assert run(["graph"]) == 0
    assert "class replicating current" in capsys.readouterr().out
    assert run(["graph", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "replicating"
    app.fails = errors.UnknownMigration("none")
    assert run(["graph"]) == 0
    assert "class " not in capsys.readouterr().out


@pytest.fixture
def manuals(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"sync_sequences": "Set every sequence. More.\n\nChanges\n  much", "hand_over": "Hand."}
    monkeypatch.setattr(explain, "step_manuals", lambda: steps)
    monkeypatch.setattr(explain, "check_manuals", lambda: {"roles": "Roles must exist."})


@pytest.mark.usefixtures("manuals")
def test_explain_tells_every_kind_and_both_when_a_name_is_shared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["explain", "sync_sequences"]) == 0
    out = capsys.readouterr().out
    assert "sync_sequences  (transition)" in out
    assert "sync_sequences  (step)" in out
    assert "Changes\n  much" in out
    assert run(["explain", "cut_over"]) == 0
    assert "The point of no return is hand_over." in capsys.readouterr().out
    for state in STATES:
        assert run(["explain", state]) == 0
    assert run(["explain", "roles", "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told == [{"name": "roles", "kind": "check", "manual": "Roles must exist."}]


@pytest.mark.usefixtures("manuals")
def test_explain_lists_all_names_with_their_first_sentence(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if not line.startswith(" ")] == [
        "states",
        "transitions",
        "steps",
        "checks",
    ]
    assert "  sync_sequences  Set every sequence." in lines


@pytest.mark.usefixtures("manuals")
def test_explain_of_an_unknown_name_names_what_may_be_meant(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", "hand_ovr"]) == 2
    told = capsys.readouterr().err
    assert "hint: migrator explain hand_over" in told
    assert run(["explain", "hand_ovr", "--json"]) == 2
    assert "cleaned" in json.loads(capsys.readouterr().out)["names"]


def test_main_listens_to_sigterm(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as left:
            main.main(["--version"])
        assert left.value.code == 0
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)
