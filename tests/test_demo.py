"""The whole demo, as a person runs it, and what it leaves behind."""

from __future__ import annotations

import json
import signal
import subprocess
import tempfile
import tomllib
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.demo import demo
from migrator.demo.outcome import Outcome
from migrator.demo.proof import Comparison, Difference
from migrator.demo.servers import work_directory
from migrator.errors import ConfigError
from migrator.workflow import STATES
from tests.fixtures.project import MIGRATOR, clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEYS = {
    "state",
    "states",
    "seconds",
    "source_version",
    "destination_version",
    "tables_compared",
    "rows_compared",
    "differences",
    "acknowledged",
    "missing",
    "in_doubt",
    "longest_pause_ms",
    "cutover_pause_ms",
}

# Of the sample's rows, where the test is about something else.
FEW = "50000"

FINE = Outcome(
    states=tuple(STATES),
    seconds=30.0,
    source_version="17.10",
    destination_version="18.6",
    comparison=Comparison(14, 1_000_000, []),
    acknowledged=5000,
    missing=0,
    in_doubt=0,
    longest_pause_ms=50.0,
    cutover_pause_ms=40.0,
)
DIFFERENCE = Difference("table", "public.t", "1 rows on the source, 2 on the destination")


@pytest.fixture
def directory() -> Iterator[Path]:
    """A current directory that the demo's servers can reach, unlike pytest's own."""
    with work_directory("migrator-demo-tests") as made:
        yield made


def test_the_demo_ends_cleaned_and_leaves_nothing(
    cli: Callable[..., subprocess.CompletedProcess[str]], directory: Path
) -> None:
    done = cli("--json", "demo", cwd=directory, env={"TMPDIR": str(directory)})
    outcome = json.loads(done.stdout)
    assert outcome.keys() == KEYS
    assert outcome["state"] == "cleaned"
    assert outcome["states"] == list(STATES)
    assert 0 < outcome["cutover_pause_ms"] <= outcome["longest_pause_ms"] < 10_000
    assert outcome["differences"] == []
    assert outcome["missing"] == 0
    assert outcome["acknowledged"] > 1000
    assert outcome["rows_compared"] > 900_000
    assert outcome["seconds"] < 90
    assert list(directory.iterdir()) == []


def hear(how: signal.Signals) -> None:
    """Take the signal, also where the tests themselves run in the background and ignore it."""
    signal.signal(how, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("moment", "how"),
    [
        ("loading the sample", signal.SIGTERM),
        ("build_indexes", signal.SIGINT),
        ("state  cutover", signal.SIGHUP),
    ],
)
def test_an_interrupted_demo_leaves_nothing(directory: Path, moment: str, how: signal.Signals) -> None:
    process = subprocess.Popen(
        [*MIGRATOR, "demo", "--rows", FEW],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=directory,
        env=clean_environment() | {"TMPDIR": str(directory)},
        preexec_fn=partial(hear, how),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if moment in line:
            break
    process.send_signal(how)
    _out, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "its servers and files are gone" in said
    assert list(directory.iterdir()) == []


def test_a_planted_difference_is_found(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    advance_all = demo.advance_all

    def advance_and_spoil(config: Path, *rest: Any, **options: Any) -> tuple[str, ...]:
        states = advance_all(config, *rest, **options)
        with psycopg.connect(tomllib.loads(config.read_text())["destination"]["url"]) as connection:
            connection.execute("update shop.products set title = title || ' ' where id = 7")
            # Of the rows that only the destination can have, so the comparison sets it aside.
            last = "select id from ledger order by id desc offset 50 limit 1"
            connection.execute(f"delete from ledger where id = ({last})")
            connection.execute("select setval('shop.invoice_numbers', 1000)")
        return states

    monkeypatch.setattr(demo, "advance_all", advance_and_spoil)
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    said: list[str] = []

    def echo(text: str, /, *, err: bool = False) -> None:
        if not err:
            said.append(text)

    assert demo.run_demo(keep=False, as_json=True, echo=echo, rows=int(FEW)) == 4
    outcome = json.loads(said[0])
    assert outcome["state"] == "cleaned"
    different = {difference["name"] for difference in outcome["differences"]}
    assert different == {"shop.invoice_numbers", "shop.products"}
    assert outcome["missing"] == 1
    assert list(directory.iterdir()) == []


@pytest.mark.filterwarnings("ignore:subprocess .* is still running:ResourceWarning")
def test_kept_servers_go_on(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def skip(config: Path, tell: Any, *, as_json: bool) -> tuple[str, ...]:
        words = tomllib.loads(config.read_text())["router"]["command"]["re_route"]
        subprocess.run(words, check=True)
        with psycopg.connect(words[-1], autocommit=True) as connection:
            connection.execute("create table ledger (token uuid, amount int)")
        return ("planned",)

    monkeypatch.chdir(directory)
    monkeypatch.setattr(demo, "advance_all", skip)
    said: list[str] = []

    def echo(text: str, /, *, err: bool = False) -> None:
        said.append(text)

    assert demo.run_demo(keep=True, as_json=False, echo=echo, rows=int(FEW)) == 4
    config = tomllib.loads((directory / "migrator-demo" / "migrator.toml").read_text())
    try:
        for side in ("source", "destination"):
            with psycopg.connect(config[side]["url"]) as connection:
                assert connection.info.dbname == "shop"
    finally:
        (stop,) = [line for line in said if line.startswith("to stop them: ")]
        subprocess.run(stop.removeprefix("to stop them: ").split(), check=True)
    with pytest.raises(ConfigError, match="a demo was kept there"):
        demo.run_demo(keep=True, as_json=False, echo=echo, rows=int(FEW))


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({}, "all equal"),
        ({"missing": 3}, "3 missing"),
        ({"states": ("planned", "cutover")}, "cutover in 30 s"),
        ({"comparison": Comparison(14, 10, [DIFFERENCE])}, "public.t: 1 rows"),
    ],
)
def test_only_a_whole_outcome_is_a_success(change: dict[str, Any], shown: str) -> None:
    outcome = replace(FINE, **change)
    assert outcome.exit_code == (4 if change else 0)
    assert shown in "\n".join(outcome.lines())
    assert outcome.as_dict().keys() == KEYS
