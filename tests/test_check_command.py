"""``migrator check``: what it shows, what it ends with, what may be waived, and the fixes as a script."""

from __future__ import annotations

import json
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from migrator import check
from migrator.check import Finding, Group, Severity
from migrator.render.findings import SHOWN
from migrator.waivers import UnusableWaiver, parse, reason
from tests.fixtures.findings import execute
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import psql_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrator.context import ReadContext
    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.project import Project

NO_KEY = 'create table "No\nkey \\if" (id int)'
UNLOGGED = "create unlogged table cache (id int primary key)"


@pytest.fixture
def move(
    project: Callable[..., Project], source_database: str, destination_database: str
) -> Callable[..., Project]:
    return lambda **sections: project(source_database, destination_database, **sections)


def test_findings_are_shown_worst_first_and_end_with_4(
    move: Callable[..., Project], source_database: str
) -> None:
    clean = move().run("check")
    assert clean.stdout.startswith(str(len(check.guarding("plan"))))
    assert clean.stdout.endswith(" checks before plan: nothing found\n")
    execute(source_database, NO_KEY, UNLOGGED, "create publication theirs")
    found = move().run("check", check=False)
    assert found.returncode == 4
    verbs = [line.split()[0] for line in found.stdout.splitlines()[:-1] if not line.startswith(" ")]
    assert verbs == ["blocks", "blocks", "warns"]
    assert found.stdout.splitlines()[-1].endswith("2 blocks, 1 warns; migrator explain CHECK tells why")
    assert "\x1b" not in found.stdout, "colours are for terminals"
    only = move().json("check", "misc", check=False)
    assert {f["check"] for f in only["findings"]} == {"unlogged_tables", "source_subscriptions"}
    assert only["blocked"] == 1
    assert move().run("check", "user").returncode == 0


def test_many_findings_of_one_check_are_told_by_the_first_ones(
    move: Callable[..., Project], source_database: str
) -> None:
    many = SHOWN + 5
    execute(source_database, *(f"create table t{n} ()" for n in range(many)))
    short = move().run("check", check=False).stdout
    assert short.count("has no usable replica identity") == SHOWN
    assert "replica_identity  and 5 more; -v shows all" in short
    assert move().run("-v", "check", check=False).stdout.count("has no usable replica identity") == many


def test_a_waived_finding_stops_nothing_and_is_remembered_with_its_reason(
    move: Callable[..., Project], source_database: str
) -> None:
    execute(source_database, UNLOGGED, "create unlogged table second (id int primary key)")
    moving = move(tables={"unlogged": "refuse"})
    one = ("--waive", "unlogged_tables:public.cache=rebuilt = nightly")
    assert moving.run("check", *one, check=False).returncode == 4, "another table is not waived"
    every = ("--waive", "unlogged_tables=rebuilt nightly")
    report = moving.json("check", *every)
    assert report["blocked"] == 0
    assert {f["waived"] for f in report["findings"]} == {"rebuilt nightly"}
    assert "waived  unlogged_tables  public.cache" in moving.run("check", *every).stdout
    assert moving.run("plan", "--yes", check=False).returncode == 4, "no plan was there to remember it"
    moving.run("plan", "--yes", *every)
    moving.run("advance", "--yes")
    assert moving.json("check", "--before", "copy_schema")["findings"][0]["waived"] == "rebuilt nightly"


def test_the_configuration_may_waive_too(move: Callable[..., Project], source_database: str) -> None:
    execute(source_database, UNLOGGED)
    moving = move(checks={"waive": {"unlogged_tables:public.cache": "rebuilt"}})
    assert moving.json("check")["findings"][0]["waived"] == "rebuilt"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--waive", "unlogged_tables"], "is not CODE=reason"),
        (["--waive", "unlogged_tables= "], "is not CODE=reason"),
        (["--waive", "unlogged_table=x"], "did you mean unlogged_tables?"),
        (["--waive", "replica_identity=x"], "replica_identity cannot be waived"),
        (["--before", "cutover"], "there is no transition 'cutover'"),
        (["nonsense"], "'nonsense' is not one of"),
    ],
)
def test_what_cannot_be_checked_or_waived(words: list[str], said: str, move: Callable[..., Project]) -> None:
    done = move().run("check", *words, check=False)
    assert done.returncode == 2
    assert said in done.stderr


def test_the_fixes_as_a_script_for_psql_mend_each_side(
    move: Callable[..., Project],
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    tmp_path: Path,
) -> None:
    ensure_roles([source_cluster], "only \\here")
    execute(source_database, NO_KEY, 'alter table "No\nkey \\if" owner to "only \\here"')
    script = tmp_path / "fix.sql"
    assert move().run("check", "--fix-sql", str(script), check=False).returncode == 4
    assert stat.S_IMODE(script.stat().st_mode) == 0o600
    again = move().run("check", "--fix-sql", str(script), check=False)
    assert (again.returncode, "exists and was not touched" in again.stderr) == (3, True)
    psql = psql_of(source_cluster)
    for side, url in (("source", source_database), ("destination", destination_database)):
        command = [psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", f"{side}=1", "-f", script, url]
        done = subprocess.run(command, capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert move().run("check").stdout.endswith("nothing found\n")


def test_the_definition_of_the_new_cluster_comes_with_a_check(
    move: Callable[..., Project], tmp_path: Path
) -> None:
    file = tmp_path / "cluster.json"
    move().run("check", "--definition", str(file))
    assert {"users", "database", "hba"} <= json.loads(file.read_text()).keys()
    yaml = tmp_path / "cluster.yml"
    move().run("check", "--definition", str(yaml))
    assert "pg_databases:" in yaml.read_text()


def test_a_check_that_cannot_run_is_a_finding_that_blocks(
    move: Callable[..., Project], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(ctx: ReadContext) -> Iterator[Finding]:
        ctx.source.execute("set session authorization pg_monitor")
        try:
            ctx.source.rows("select rolpassword from pg_catalog.pg_authid")
        finally:
            ctx.source.execute("reset session authorization")
        yield from ()

    def failing(ctx: ReadContext) -> Iterator[Finding]:
        yield Finding(Severity.INFO, "x", "before it failed")
        ctx.destination.rows("select 1 / 0")

    from migrator.app import App

    made = {
        name: check.Check(name, Group.REPL, ("plan",), None, True, run, "")
        for name, run in (("refused", refused), ("failing", failing))
    }
    monkeypatch.setattr(check, "load_all", lambda: made)
    with App.open(move().path) as app:
        found = {f.subject: f for f in app.check().findings}
    assert found["source"].severity == found["destination"].severity == "block"
    assert "permission denied" in found["source"].message
    assert found["source"].fix == "give our role the right that is named, or connect as a superuser"
    assert "division by zero" in found["destination"].message
    assert found["x"].severity == "info"


def test_waivers_are_read_up_to_the_first_equals_sign() -> None:
    assert parse(["a=b=c", " d:e f = g "]) == {"a": "b=c", "d:e f": "g"}
    assert reason({"a": "all", "a:x": "one"}, "a", "x") == "one"
    assert reason({"a": "all"}, "a", "y") == "all"
    assert reason({"a:x": "one"}, "a", "y") == ""
    with pytest.raises(UnusableWaiver):
        parse(["a"])
