"""``migrator diff --fix-sql`` writes a script that psql runs to its end, and that does what it says."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import psycopg
import pytest

from migrator.data_diff import Options, diff_databases
from migrator.diff import fix
from tests.fixtures.road import run
from tests.fixtures.servers import psql_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer

Fixed = tuple[str, list[str]]
# An environment that has psql take another encoding, and the server other ways to read and print values.
OTHER_HABITS = {
    **os.environ,
    "PGCLIENTENCODING": "LATIN1",
    "PGOPTIONS": "-c DateStyle=german -c IntervalStyle=sql_standard -c TimeZone=Asia/Kathmandu"
    " -c extra_float_digits=-10 -c bytea_output=escape -c xmloption=document"
    " -c standard_conforming_strings=off -c array_nulls=off",
}


@pytest.fixture
def fixed(source_cluster: EmbeddedServer, tmp_path: Path) -> Callable[..., Fixed]:
    """Compare all tables of two databases and run the script; return it, and what differs after."""

    def run_script(source: str, destination: str, environment: dict[str, str] = OTHER_HABITS) -> Fixed:
        report = diff_databases(source, destination, lambda _: None, Options(jobs=1, fix=True))
        assert report.verdict == "different"
        script = tmp_path / "fix.sql"
        script.write_text(report.fix, encoding="utf-8")
        words = [psql_of(source_cluster), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", script, destination]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, env=environment)
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


def test_a_database_in_another_encoding_gets_the_same_characters(
    source_database: str,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
    fixed: Callable[..., Fixed],
) -> None:
    latin = new_database(destination_cluster, encoding="LATIN1", template="template0", locale="C")
    on_both(source_database, latin, 'create table "tür" (id int primary key, t text)')
    run(source_database, "insert into \"tür\" values (1, 'für'), (2, 'a')")
    run(latin, "insert into \"tür\" values (1, 'fur'), (3, 'ü')")
    # As psql is run where no one says anything else: it takes the server's encoding.
    plain = {name: value for name, value in os.environ.items() if name != "PGCLIENTENCODING"}
    assert fixed(source_database, latin, plain)[1] == []
    assert run(latin, 'select t from "tür" order by id') == [("für",), ("a",)]


def test_values_are_read_as_they_were_printed(
    source_database: str, destination_database: str, fixed: Callable[..., Fixed]
) -> None:
    on_both(
        source_database,
        destination_database,
        """
        create table t (
            id int primary key, iv interval, at timestamptz, day date, raw bytea, f float8, p point,
            cash money, t text, texts text[]
        );
        """,
    )
    values = (
        "'-1 year -2 mons +3 days', '2020-02-03 04:05:06+00', '2020-02-03', '\\x005c27', 0.1 + 0.2,"
        " point(0.1, 1.0 / 3), 1234.5, e'\\\\ \\'a\\'\\n', array['null', null]"
    )
    run(source_database, f"insert into t values (1, {values}), (2, {values.replace('+3', '-3')})")
    assert fixed(source_database, destination_database)[1] == []


def test_xml_is_read_as_content(
    source_database: str, destination_database: str, fixed: Callable[..., Fixed]
) -> None:
    try:
        on_both(source_database, destination_database, "select '<a/>'::xml")
    except psycopg.errors.FeatureNotSupported:
        pytest.skip("a server was built without libxml")
    on_both(source_database, destination_database, "create table t (id int primary key, x xml)")
    run(source_database, "insert into t values (1, 'no document'), (2, '<a/>')")
    assert fixed(source_database, destination_database)[1] == []


def test_rows_that_exchange_a_unique_value_are_written_after_all_were_removed(
    source_database: str,
    destination_database: str,
    fixed: Callable[..., Fixed],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # They need not be read together either.
    monkeypatch.setattr(fix, "AT_ONCE", 1)
    on_both(source_database, destination_database, "create table t (id int primary key, u text unique)")
    run(source_database, "insert into t values (1, 'a'), (2, 'b'), (3, 'c')")
    run(destination_database, "insert into t values (1, 'b'), (2, 'a'), (4, 'c')")
    assert fixed(source_database, destination_database)[1] == []


def test_keys_that_are_one_to_their_own_operator_are_written_once(
    source_database: str, destination_database: str, fixed: Callable[..., Fixed]
) -> None:
    on_both(source_database, destination_database, "create table t (id numeric primary key, t text)")
    run(source_database, "insert into t values (1.0, 'a'), (2, 'b')")
    run(destination_database, "insert into t values (1.00, 'a'), (2, 'c')")
    script, left = fixed(source_database, destination_database)
    assert (script.count("insert into"), left) == (2, [])


# Where the search path is empty no operator of theirs is found for a text; they print by the settings.
KEYS = {
    "composite": (
        "create type k as (day date, span interval, f float8)",
        "row('2020-02-{:02}', '1 day -2 h', 0.1)",
    ),
    "domain": ("create domain k as interval", "'{} days -2 h'"),
    "range": ("create type k as range (subtype = timestamptz)", "'[2020-02-{:02} 00:00+00,)'"),
    "array": (
        "create domain part as date; create type k as (a part[])",
        "row(array['2020-02-{:02}']::part[])",
    ),
}


@pytest.fixture
def found_by_text(source_cluster: EmbeddedServer) -> None:
    """Skip what asks for keys by their texts where floating-point numbers are printed by two rules."""
    if source_cluster.major < 12:
        pytest.skip("such a key tells no rows apart between these majors")


@pytest.mark.usefixtures("found_by_text")
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_a_type_that_is_not_postgresqls_own_is_found(
    kind: str, source_database: str, destination_database: str, fixed: Callable[..., Fixed]
) -> None:
    made, value = KEYS[kind]
    made += "; create table t (k k, n int, v text, primary key (k, n));"
    made += "".join(f"insert into t values ({value.format(n)}, {n}, 'x');" for n in range(1, 5))
    on_both(source_database, destination_database, made)
    run(destination_database, "update t set v = 'y' where n = 1; delete from t where n = 2")
    run(source_database, "delete from t where n = 3")
    assert fixed(source_database, destination_database)[1] == []


@pytest.mark.usefixtures("found_by_text")
@pytest.mark.parametrize(
    ("extension", "values"), [("citext", "aB b C"), ("ltree", "a.b b c.d"), ("hstore", "a=>1 b=>2 c=>3")]
)
def test_a_key_of_an_extensions_type_is_found(
    extension: str,
    values: str,
    source_database: str,
    destination_database: str,
    fixed: Callable[..., Fixed],
) -> None:
    try:
        on_both(source_database, destination_database, f"create extension {extension}")
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.UndefinedFile):
        pytest.skip(f"a server has no {extension}")
    first, second, third = values.split()
    on_both(source_database, destination_database, f"create table t (k {extension} primary key, v text)")
    run(source_database, f"insert into t values ('{first}', 'x'), ('{second}', 'x')")
    run(destination_database, f"insert into t values ('{first}', 'y'), ('{third}', 'x')")
    assert fixed(source_database, destination_database)[1] == []
