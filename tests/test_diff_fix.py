"""``migrator diff --fix-sql`` writes a script that psql runs to its end, and that does what it says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from migrator.data_diff import Options, diff_databases
from tests.fixtures.road import run
from tests.fixtures.servers import psql_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer

Fixed = tuple[str, list[str]]


@pytest.fixture
def fixed(source_cluster: EmbeddedServer, tmp_path: Path) -> Callable[..., Fixed]:
    """Compare all tables of two databases and run the script; return it, and what differs after."""

    def run_script(source: str, destination: str, **environment: str) -> Fixed:
        report = diff_databases(source, destination, lambda _: None, Options(jobs=1, fix=True))
        assert report.verdict == "different"
        script = tmp_path / "fix.sql"
        script.write_text(report.fix, encoding="utf-8")
        words = [psql_of(source_cluster), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, destination]
        ended = subprocess.run(
            words, capture_output=True, text=True, check=False, env={**os.environ, **environment}
        )
        assert (ended.returncode, ended.stderr) == (0, "")
        left = diff_databases(source, destination, lambda _: None, Options(jobs=1))
        return report.fix, [t.table for t in left.tables if t.verdict != "equal"]

    return run_script


def on_both(source: str, destination: str, statement: str) -> None:
    for url in (source, destination):
        run(url, statement)


@pytest.mark.parametrize("end", ["\n", "\r", "\r\n", "\v", "\u2028"])
def test_no_part_of_a_tables_name_is_executed(
    end: str, source_database: str, destination_database: str, fixed: Callable[..., Fixed]
) -> None:
    name = f'"a{end}drop table public.t;--"'
    on_both(source_database, destination_database, f"create table t (a int); create table {name} (a int)")
    run(source_database, f"insert into {name} values (1)")
    script, left = fixed(source_database, destination_database)
    (comment,) = [line for line in script.split("\n") if "has no key" in line]
    assert comment.startswith('-- public."a drop table public.t;--" has no key')
    assert len(left) == 1
    assert run(destination_database, "select to_regclass('public.t') is not null") == [(True,)]
