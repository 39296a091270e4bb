"""A table whose UPDATE and DELETE would fail once published is refused, with the SQL that fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from migrator.demo.proof import compare
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.project import Project

# How the table is made, and the SQL that fixes it.
TABLES = {
    "no key": (["create table {t} (id int, v text)"], "alter table {t} replica identity full;"),
    "a deferrable primary key": (
        ["create table {t} (id int primary key deferrable, v text)"],
        "alter table {t} replica identity full;",
    ),
    "a deferrable primary key beside a unique index": (
        ["create table {t} (id int primary key deferrable, v text)", 'create unique index "U 1" on {t} (id)'],
        'alter table {t} replica identity using index "U 1";',
    ),
    "a unique index over a column that can be null": (
        ["create table {t} (id int unique, v text)"],
        "alter table {t} replica identity full;",
    ),
    "a partial unique index": (
        ["create table {t} (id int not null, v text)", "create unique index on {t} (id) where id > 0"],
        "alter table {t} replica identity full;",
    ),
    "a unique index over an expression": (
        ["create table {t} (id int not null, v text not null)", "create unique index on {t} (lower(v))"],
        "alter table {t} replica identity full;",
    ),
    "a unique index over columns that cannot be null": (
        ["create table {t} (id int not null, v text)", "create unique index u on {t} (id) include (v)"],
        "alter table {t} replica identity using index u;",
    ),
    "identity nothing": (
        ["create table {t} (id int primary key, v text)", "alter table {t} replica identity nothing"],
        'alter table {t} replica identity using index "T 1_pkey";',
    ),
    "an identity index that is gone": (
        [
            "create table {t} (id int not null, v text)",
            "create unique index u on {t} (id)",
            "alter table {t} replica identity using index u",
            "drop index u",
        ],
        "alter table {t} replica identity full;",
    ),
}
NAME = 'public."T 1"'


def execute(url: str, *statements: str) -> None:
    with connect(url) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def refused(project: Project) -> dict[str, str]:
    """Plan, expect the refusal, and return the fix of each table."""
    done = project.run("plan", "--yes", check=False)
    assert done.returncode == 4, done.stdout + done.stderr
    assert '"T 1"' in done.stdout + done.stderr
    found = project.json("plan", "--dry-run")["findings"]
    return {f["subject"]: f["fix"] for f in found if f["severity"] == "block"}


def test_tables_without_a_usable_identity_block_the_plan_and_their_fixes_carry_their_changes(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    expected = {}
    for number, (made, fix) in enumerate(TABLES.values()):
        table = f'"S {number}"."T 1"'
        expected[table] = fix.replace("{t}", table)
        execute(
            source_database,
            f'create schema "S {number}"',
            f'set search_path = "S {number}"',
            *(statement.replace("{t}", table) for statement in made),
            f"insert into {table} values (1, 'a'), (2, 'b'), (3, 'c')",
        )
    # The key finds the row; what of it has no equality is not compared.
    keyed = '"S 0".keyed'
    execute(
        source_database,
        f"create table {keyed} (id int primary key, v text, j json, p point)",
        f"alter table {keyed} replica identity full",
        f"insert into {keyed} values (1, 'a', '1', '(1,2)'), (2, 'b', null, null)",
    )
    moved = project(source_database, destination_database)
    assert refused(moved) == expected
    execute(source_database, *expected.values())
    moved.run("plan", "--yes")

    moved.run("advance", "--to", "replicating", "--yes")
    for table in (*expected, keyed):
        execute(
            source_database, f"update {table} set v = 'z' where id = 1", f"delete from {table} where id = 2"
        )
    moved.run("advance", "--to", "cutover", "--yes")
    assert compare(source_database, destination_database) == []


def test_a_full_identity_over_json_needs_a_key(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    execute(
        source_database,
        f"create table {NAME} (id int, v json)",
        f"alter table {NAME} replica identity full",
        f"insert into {NAME} values (1, '{{}}')",
    )
    moved = project(source_database, destination_database)
    fix = f"add a primary key to {NAME}; or waive this where the table only gets inserts"
    assert refused(moved) == {NAME: fix}
    execute(source_database, f"alter table {NAME} add primary key (id)")
    moved.run("plan", "--yes")


def test_a_key_that_is_lost_after_the_plan_is_noticed_before_anything_is_published(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    execute(source_database, f"create table {NAME} (id int constraint key primary key, v text)")
    execute(source_database, f"insert into {NAME} values (1, 'a')")
    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "schema_copied", "--yes")
    execute(source_database, f"alter table {NAME} drop constraint key")

    done = moved.run("advance", "--to", "replicating", "--yes", check=False)
    assert done.returncode == 4
    assert f"alter table {NAME} replica identity full" in done.stdout + done.stderr
    with connect(source_database) as connection:
        assert connection.execute("select count(*) from pg_publication").fetchone() == (0,)
        changed = connection.execute(f"update {NAME} set v = 'b'".encode())
        assert changed.rowcount == 1

    execute(source_database, f"alter table {NAME} add constraint key primary key (id)")
    moved.run("advance", "--to", "cutover", "--yes")
    assert compare(source_database, destination_database) == []


def test_a_key_that_is_lost_under_the_stream_stops_the_application_as_postgresql_does(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    execute(source_database, f"create table {NAME} (id int constraint key primary key, v text)")
    execute(source_database, f"insert into {NAME} values (1, 'a')")
    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "replicating", "--yes")
    execute(source_database, f"alter table {NAME} drop constraint key")
    with connect(source_database) as connection, pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
        connection.execute(f"update {NAME} set v = 'b'".encode())
    execute(source_database, f"alter table {NAME} replica identity full", f"update {NAME} set v = 'b'")
    refused = moved.run("advance", "--to", "cutover", "--yes", check=False)
    assert (refused.returncode, "gone apart" in refused.stderr) == (4, True)
    moved.run("refresh", "--yes")
    moved.run("advance", "--to", "cutover", "--yes")
    assert compare(source_database, destination_database) == []
