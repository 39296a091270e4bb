"""Each check finds what it is there for, says how to fix it, and is silent once it is fixed."""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from migrator.check import load_all
from migrator.demo.host import spawn_options
from migrator.demo.servers import EmbeddedServer
from tests.fixtures.findings import execute
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import LiteralString

    from tests.fixtures.findings import Findings
    from tests.fixtures.project import Project


def test_two_empty_databases_have_no_finding(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    assert look(source_database, destination_database).found == ()


def test_every_check_has_a_manual_and_a_test() -> None:
    tests = "".join(p.read_text(encoding="utf-8") for p in Path(__file__).parent.glob("test_*.py"))
    for name, check in load_all().items():
        assert "Why it matters" in check.manual, name
        assert "How to fix" in check.manual, name
        assert f'"{name}"' in tests, name


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ('create table "Some one\'s" (id int)', 'public."Some one\'s"'),
        ("create schema theirs", "theirs"),
        ("create type mood as enum ('sad')", "mood"),
        ("create extension citext", "citext"),
        ("create function f() returns int language sql as 'select 1'", "f()"),
        ("alter default privileges grant select on tables to public", "default acl"),
    ],
)
def test_a_destination_that_holds_something(
    statement: str, named: str, source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(destination_database, statement)
    found = look(source_database, destination_database)
    assert found.of("destination_empty") == [("block", "destination")]
    assert named in found.text("destination_empty")


def test_source_and_destination_in_one_cluster(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    new_database: Callable[..., str],
    look: Callable[..., Findings],
) -> None:
    beside = new_database(source_cluster)
    assert look(source_database, beside).of("different_clusters") == [("block", "destination")]
    assert look(source_database, destination_database).of("different_clusters") == []


def test_other_encodings_and_collations(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    new_database: Callable[..., str],
    look: Callable[..., Findings],
) -> None:
    latin = {"encoding": "LATIN1", "template": "template0", "locale": "C"}
    old, new = new_database(source_cluster, **latin), new_database(destination_cluster, **latin)
    worse = look(source_database, new)
    assert ("block", "destination") in worse.of("encoding"), "UTF8 does not fit into LATIN1"
    better = look(old, destination_database)
    assert set(better.of("encoding")) == {("warn", "destination")}, "LATIN1 fits into UTF8"
    assert look(old, new).of("encoding") == []


def test_foreign_keys_to_tables_that_stay(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create table "Big" (id int primary key)',
        'create table little (id int primary key references "Big")',
    )
    found = look(source_database, destination_database, tables={"exclude": ["public.B*"]})
    assert found.of("excluded_references") == [("block", "public.little")]
    assert '"public.Big"' in found.fixes("excluded_references")[0]
    both = {"exclude": ["public.B*", "public.little"]}
    assert look(source_database, destination_database, tables=both).of("excluded_references") == []
    assert look(source_database, destination_database).of("excluded_references") == []


def test_large_objects(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(source_database, "select lo_create(0)", "select lo_create(4711)")
    found = look(source_database, destination_database)
    assert found.of("large_objects") == [("block", "large objects")]
    assert "holds 2 large objects" in found.text("large_objects")
    ignoring = {"large_objects": "ignore"}
    assert look(source_database, destination_database, tables=ignoring).of("large_objects") == [
        ("warn", "large objects")
    ]
    copying = {"large_objects": "copy"}
    found = look(source_database, destination_database, tables=copying)
    assert found.of("large_objects") == [("info", "large objects")]
    assert "in the cutover" in found.text("large_objects")
    execute(destination_database, "select lo_create(4712)")
    found = look(source_database, destination_database, tables=copying)
    assert ("block", "destination") in found.of("large_objects")
    assert "4712" in found.text("large_objects")
    assert look(source_database, destination_database, tables=ignoring).of("large_objects") == [
        ("warn", "large objects")
    ]
    execute(source_database, "select lo_unlink(oid) from pg_largeobject_metadata")
    assert look(source_database, destination_database).of("large_objects") == []


def test_an_extension_that_the_destination_does_not_have(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    available: LiteralString = "select name from pg_available_extensions"
    with connect(source_database) as source, connect(destination_database) as destination:
        there = {name for (name,) in destination.execute(available)}
        only = sorted({name for (name,) in source.execute(available)} - there)
        for missing in only:
            try:
                source.execute(sql.SQL("create extension {}").format(sql.Identifier(missing)))
            except psycopg.Error:
                continue
            break
        else:
            pytest.skip("every extension of the source's server is also on the destination's")
    found = look(source_database, destination_database)
    assert found.of("missing_extensions") == [("block", missing)]
    execute(source_database, f"drop extension {missing}")
    assert look(source_database, destination_database).of("missing_extensions") == []


def test_a_role_that_the_destination_does_not_have(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    kinds = ("column only", "default only", "granted.only", "policy only", "setting only")
    names = ('only "here"', "dba", *kinds)
    ensure_roles([source_cluster], *names)
    database = source_database.rpartition("/")[2]
    execute(
        source_database,
        'alter role "only ""here""" login createdb noinherit connection limit 3',
        "create table t (id int primary key, n int)",
        'alter table t owner to "only ""here"""',
        'grant select on t to "granted.only"',
        'grant update (n) on t to "column only"',
        'create policy p on t to "policy only" using (true)',
        'alter default privileges grant select on tables to "default only"',
        f"alter role \"setting only\" in database {database} set work_mem = '5MB'",
        f'grant connect on database {database} to "dba"',
    )
    found = look(source_database, destination_database)
    assert found.of("missing_roles") == [("block", name) for name in sorted(names)]
    fixes = dict(zip(sorted(names), found.fixes("missing_roles"), strict=True))
    assert fixes['only "here"'] == 'create role "only ""here""" createdb login noinherit;'
    assert fixes["dba"] == "create role dba;"
    execute(destination_database, *fixes.values())
    assert look(source_database, destination_database).of("missing_roles") == []


def test_a_missing_role_stops_the_plan_with_the_sql_that_creates_it(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    project: Callable[..., Project],
) -> None:
    ensure_roles([source_cluster], "Nobody there")
    execute(source_database, 'create schema s authorization "Nobody there"')
    done = project(source_database, destination_database).run("plan", "--yes", check=False)
    assert done.returncode == 4
    said = done.stdout + done.stderr
    assert said.count('create role "Nobody there";') == 1
    assert "missing_roles" in said


def test_a_prepared_transaction(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(source_database, "create table t (id int primary key)")
    with connect(source_database) as connection:
        connection.execute("begin; insert into t values (1); prepare transaction 'it''s'")
    found = look(source_database, destination_database)
    execute(source_database, "rollback prepared 'it''s'")
    assert found.of("prepared_transactions") == [("block", "it's")]
    assert look(source_database, destination_database).of("prepared_transactions") == []


def test_a_role_that_may_not(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    ensure_roles([source_cluster, destination_cluster], "mere mortal")
    for url in (source_database, destination_database):
        execute(url, 'alter role "mere mortal" login nosuperuser')
    urls = [url.replace("//postgres@", "//mere%20mortal@") for url in (source_database, destination_database)]
    found = look(*urls)
    assert found.of("privileges") == [("block", "destination"), ("block", "source")]
    for url, fix in zip((destination_database, source_database), found.fixes("privileges"), strict=True):
        execute(url, fix)
    assert look(*urls).of("privileges") == []
    for url in (source_database, destination_database):
        execute(url, 'alter role "mere mortal" nosuperuser')


def test_a_destination_that_is_older_than_the_source(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    assert look(source_database, destination_database).of("server_versions") == []
    if source_cluster.major < destination_cluster.major:
        turned = look(destination_database, source_database)
        assert turned.of("server_versions") == [("block", "destination")]


def test_a_source_that_is_itself_subscribed_or_published(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create publication "Pub 1"',
        "create subscription \"Sub 1\" connection 'host=nowhere.example' publication p"
        " with (connect = false)",
    )
    found = look(source_database, destination_database)
    assert found.of("source_subscriptions") == [("warn", '"Pub 1"'), ("warn", '"Sub 1"')]
    with connect(source_database) as connection:
        connection.execute('alter subscription "Sub 1" enable')
        found = look(source_database, destination_database)
        connection.execute(found.fixes("source_subscriptions")[0].encode())
    assert found.of("source_subscriptions")[0] == ("block", '"Sub 1"')
    execute(
        source_database,
        'alter subscription "Sub 1" set (slot_name = none)',
        'drop subscription "Sub 1"',
        'drop publication "Pub 1"',
    )
    assert look(source_database, destination_database).of("source_subscriptions") == []


def test_a_source_whose_stream_carries_truncate(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    found = look(source_database, destination_database).of("truncate_in_stream")
    assert found == ([] if source_cluster.major > 10 else [("warn", "source")])


def test_unlogged_tables(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(source_database, 'create unlogged table "Un logged" (id int primary key)')
    found = look(source_database, destination_database)
    assert found.of("unlogged_tables") == [("block", 'public."Un logged"')]
    skipping = {"unlogged": "skip"}
    assert look(source_database, destination_database, tables=skipping).of("unlogged_tables") == [
        ("warn", 'public."Un logged"')
    ]
    copying = {"unlogged": "copy"}
    within = look(source_database, destination_database, tables=copying)
    assert within.of("unlogged_tables") == [("info", 'public."Un logged"')]
    execute(source_database, 'insert into "Un logged" select generate_series(1, 1000)')
    tight = look(source_database, destination_database, tables=copying, cutover={"max_pause": "1ms"})
    assert tight.of("unlogged_tables") == [("warn", 'public."Un logged"')]
    assert "max_pause is 0.001 s" in tight.text("unlogged_tables")
    execute(source_database, *found.fixes("unlogged_tables"))
    assert look(source_database, destination_database).of("unlogged_tables") == []


@contextmanager
def standby(server: EmbeddedServer) -> Iterator[None]:
    """Run a stopped server as a standby that has no primary."""
    (server.data / "standby.signal").touch()
    with server.log.open("ab") as log:
        process = subprocess.Popen(
            [server.bin_dir / "postgres", "-D", server.data],
            stdout=log,
            stderr=log,
            start_new_session=True,
            **spawn_options(server.directory),
        )
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(server.url("postgres")).close()
            except psycopg.OperationalError:
                assert time.monotonic() < deadline, server.log_tail()
                time.sleep(0.05)
            else:
                break
        yield
    finally:
        process.terminate()
        process.wait(30)


def test_a_server_without_room_for_logical_replication_and_a_standby(
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    cluster_directory: Path,
    look: Callable[..., Findings],
) -> None:
    poor = EmbeddedServer(
        destination_cluster.bin_dir,
        cluster_directory / "poor",
        settings={
            "fsync": "off",
            "wal_level": "replica",
            "max_wal_senders": "0",
            "max_replication_slots": "0",
            "max_active_replication_origins": "0",
            "max_logical_replication_workers": "0",
            "max_worker_processes": "0",
        },
    )
    origins = "max_active_replication_origins" if poor.major >= 18 else "max_replication_slots"
    with poor:
        url = poor.url("postgres")
        as_destination, as_source = look(source_database, url), look(url, destination_database)
        one_way = look(source_database, url, cutover={"reverse": "off"})
        # After the cutover the stream runs the other way, so that each side needs all of it.
        for side, found in (("destination", as_destination), ("source", as_source)):
            assert found.of("wal_level") == [("block", side)]
            assert set(found.of("free_slots")) == {("block", side)}
            for setting in ("max_replication_slots", "max_wal_senders", "max_worker_processes", origins):
                assert setting in found.text("free_slots")
            assert "max_logical_replication_workers" in found.text("free_slots")
            found.repair("wal_level", "free_slots")
        assert one_way.of("wal_level") == []
        assert "max_wal_senders" not in one_way.text("free_slots")
        poor.restart()
        for found in (look(source_database, url), look(url, destination_database)):
            assert found.of("wal_level") + found.of("free_slots") + found.of("connections") == []
    with standby(poor):
        assert look(source_database, url).of("servers_are_primaries") == [("block", "destination")]
        assert look(url, destination_database).of("servers_are_primaries") == [("block", "source")]
    healthy = look(source_database, destination_database)
    assert healthy.of("wal_level") + healthy.of("free_slots") + healthy.of("servers_are_primaries") == []
