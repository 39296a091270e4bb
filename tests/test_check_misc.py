"""``migrator check-misc`` lists what no stream carries, by whatever name, and says what becomes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.findings import execute
from tests.fixtures.schema import create_roles, load
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.project import Project

NOWHERE = "postgresql://postgres@127.0.0.1:1/nowhere"
MORE = (
    "create extension postgres_fdw",
    "create server \"far % off\" foreign data wrapper postgres_fdw options (host 'h.example')",
    "create user mapping for public server \"far % off\" options (user 'u', password 'secret')",
    'create foreign table shop."Else where" (id int) server "far % off"',
    "create subscription \"Sub % 1\" connection 'host=nowhere.example password=secret' publication p"
    " with (connect = false)",
    "create table shop.jobs (id int primary key)",
    "alter extension citext add table shop.jobs",
    "update pg_extension set extconfig = array['shop.jobs'::regclass::oid], extcondition = array['']"
    " where extname = 'citext'",
    "insert into shop.jobs values (1)",
    "insert into pg_seclabel values ('shop.log'::regclass, 'pg_class'::regclass, 0, 'some one', 'x')",
    'create table shop."Line\nbreak" (id int primary key)',
    "create table shop.many (id int) partition by range (id)",
    *(f"create view shop.view_{n} as select {n}" for n in range(10)),
)


def test_everything_that_no_stream_carries_is_listed_with_what_becomes_of_it(
    source_cluster: EmbeddedServer, source_database: str, project: Callable[..., Project]
) -> None:
    create_roles(source_cluster)
    load(source_database)
    execute(source_database, *MORE)
    moved = project(source_database, NOWHERE, tables={"exclude": ["shop.Line*"], "unlogged": "copy"})
    with connect(source_database) as connection:
        connection.execute("create temporary table passing (id int primary key)")
        connection.execute("select pg_create_logical_replication_slot('theirs', 'pgoutput')")
        connection.execute("begin; insert into shop.log values ('p', 99); prepare transaction 'it''s % 1'")
        try:
            report = moved.json("check-misc")
            told = moved.run("check-misc").stdout
            whole = moved.run("check-misc", "-v").stdout
        finally:
            connection.execute("rollback prepared 'it''s % 1'")
            connection.execute("select pg_drop_replication_slot('theirs')")
            connection.execute('alter subscription "Sub % 1" set (slot_name = none)')

    found = {(o["kind"], o["name"]): o for o in report["objects"]}
    for kind, name in (
        ("sequence", '"Odd % ""Schema"""."seq % it\'s"'),
        ("unlogged table", "shop.scratch"),
        ("large objects", "3 of them"),
        ("materialized view", "shop.totals"),
        ("empty materialized view", "shop.never_filled"),
        ("view", "shop.paid"),
        ("partitioned table", "shop.event_2024"),
        ("foreign table", 'shop."Else where"'),
        ("excluded table", 'shop."Line\nbreak"'),
        ("table of an extension", "shop.jobs"),
        ("generated column", "shop.customer.gross"),
        ("rule", "also on shop.log"),
        ("statistics", "shop.item_together"),
        ("event trigger", "laws_nothing"),
        ("foreign server", '"far % off"'),
        ("user mapping", 'public on "far % off"'),
        ("security labels", "some one (1)"),
        ("setting of the database", "shop.custom"),
        ("setting of a role in the database", '"Laws Reader": work_mem'),
        ("publication", '"the app\'s own"'),
        ("subscription", '"Sub % 1"'),
        ("replication slot", "theirs"),
        ("prepared transaction", "it's % 1"),
        ("change of the schema", ""),
    ):
        assert (kind, name) in found, (kind, name)
        assert f"  {kind} " in told
    assert "holds writes back" in found["unlogged table", "shop.scratch"]["becomes"]
    assert found["unlogged table", "shop.scratch"]["bytes"] > 0
    assert "refused" in found["large objects", "3 of them"]["becomes"]
    assert not any("passing" in name for _, name in found)
    assert "secret" not in whole + str(report)
    assert "Line\\nbreak" in told
    assert "and 2 more; -v shows all" in told
    assert "shop.view_9" not in told
    assert "shop.view_9" in whole
