"""The scripts of the old manual by their names: parts of the workflow, in order, their SQL shown first."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.demo.proof import compare
from migrator.demo.transactions import LEDGER
from migrator.parts import PARTS, part_of
from migrator.workflow import TRANSITIONS
from tests.fixtures import small
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.writer import Writer
    from tests.fixtures.project import Project

SCHEMA = """
create schema "S p";
create table "S p"."T""1" (id int generated always as identity primary key, n int not null);
create table no_key (n int, t text);
create index "by N" on "S p"."T""1" (n);
create table child (id serial primary key, parent int references "S p"."T""1");
create table log_only (at timestamptz, line text);
create unique index log_line on log_only (line);
alter table log_only alter line set not null;
"""
FILL = """
insert into "S p"."T""1" (n) select generate_series(1, 100);
insert into child (parent) select generate_series(1, 50);
insert into no_key select g, 'x' from generate_series(1, 10) g;
insert into log_only select now(), g::text from generate_series(1, 10) g;
"""
IDENTITIES = """
select c.relname, c.relreplident::text from pg_class c where c.relname in ('no_key', 'log_only') order by 1
"""


# What is in no log because it may hold a password, what is a replication command, what is the same in other
# words: rows come by a COPY of their own, sequences are set by one statement, tables locked in their order.
TOLD_OTHERWISE = (
    "create subscription",
    "comment on subscription",
    "CREATE_REPLICATION_SLOT",
    "truncate only",
    "select pg_catalog.setval",
    "lock table",
)


def test_the_parts_of_a_transition_are_its_steps_in_order() -> None:
    for transition in TRANSITIONS:
        parts = [part for part in PARTS.values() if part.whole is transition]
        assert [step for part in parts for step in part.steps.steps] == list(transition.steps)
        assert [part.is_last for part in parts] == [False] * (len(parts) - 1) + [True]
        for part in parts:
            assert all(part_of(step) is part for step in part.steps.steps)


def said(text: str) -> str:
    """Return SQL as a server's log may hold it: without comments, in one line, blanks alike."""
    return re.sub(r"\s+", " ", re.sub(r"^\s*--.*$", "", text, flags=re.MULTILINE)).strip(" ;")


def test_the_old_scripts_in_their_order_under_a_writer(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    project: Callable[..., Project],
    writer: Callable[..., Writer],
) -> None:
    clusters = {"source": source_cluster, "destination": destination_cluster}
    urls = {"source": source_database, "destination": destination_database}
    with connect(source_database) as connection:
        connection.execute(SCHEMA.encode())
        connection.execute(FILL.encode())
        connection.execute(LEDGER)
    for url in urls.values():
        with connect(url) as connection:
            name = url.rpartition("/")[2]
            connection.execute(f"alter database {name} set log_statement = 'all'".encode())
    move = project(source_database, destination_database, copy={"jobs": 1, "index_jobs": 1})
    now = {"writes": "source"}
    client = writer(lambda: urls[now["writes"]], sessions=2, per_second=60.0)

    blocked = move.run("check-repl", check=False)
    assert blocked.returncode == 4
    assert "alter table public.no_key replica identity full;" in blocked.stdout
    assert "alter table public.log_only replica identity using index log_line;" in blocked.stdout
    refused = move.run("check-repl", "--apply", check=False)
    assert refused.returncode == 2, "there is no terminal to ask at"
    applied = move.run("check-repl", "--apply", "--yes")
    assert applied.stdout.startswith("alter table public.log_only replica identity using index log_line;")
    assert identities(source_database) == [("log_only", "i"), ("no_key", "f")]
    move.run("plan", "--yes")

    assert refusal(move, "create-pub") == (
        "refused: the migration is planned, and create-pub needs state schema_copied; what is allowed now "
        "is copy-schema"
    )
    for name, part in PARTS.items():
        after = [other for other in PARTS.values() if other.whole is part.whole and part.last in other.before]
        for other in after:
            assert refusal(move, other.name).startswith(f"refused: {other.name} comes after {name}, and ")
        shown = move.json(name, "--show-sql")["sql"]
        assert shown or name == "re-routing", "what leads clients elsewhere is no SQL"
        positions = {side: server.log_position() for side, server in clusters.items()}
        if name == "disable-src":
            now["writes"] = "destination"
        words = (name, "17") if name == "copy-seq" else (name,)
        move.run(*words, "--yes")
        if name == "copy-seq":
            assert last_value(destination_database) == 117
        client.wait_for(3)
        require_ran(shown, {side: server.log_since(positions[side]) for side, server in clusters.items()})

    assert move.json("history")["state"] == "cleaned"
    client.stop()
    assert client.commits
    assert {c.url for c in client.commits} == set(urls.values())
    with connect(destination_database) as connection:
        found = {token for (token,) in connection.execute("select token from ledger")}
        assert {c.token for c in client.commits} <= found
    assert identities(source_database) == identities(destination_database)
    assert identities(source_database) == [("log_only", "d"), ("no_key", "d")]
    assert small.leftovers(source_database, destination_database) == []
    assert compare(source_database, destination_database, set_aside={"public.ledger": found}) == []


def test_between_disable_src_and_re_routing_status_knows_and_the_way_back_is_there(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    with connect(source_database) as connection:
        connection.execute(b"create table t (id int primary key)")
    move = project(source_database, destination_database)
    move.run("copy-schema", "--yes")  # plans it, too
    move.run("advance", "--to", "seq_synced", "--yes")
    move.run("disable-src", "--yes")
    status = move.json("status")
    assert (status["state"], status["next"]) == ("seq_synced", "migrator advance")
    assert status["stream"]["direction"] == "back"
    with connect(destination_database) as connection:
        connection.execute(b"insert into t values (1)")
    assert "the cutover is committed in the databases" in refusal(move, "copy-seq")
    move.run("rollback-to", "replicating", "--yes")
    with connect(source_database) as connection:
        assert connection.execute("select id from t").fetchall() == [(1,)]
        connection.execute(b"insert into t values (2)")
    move.run("advance", "--to", "cleaned", "--yes")
    assert compare(source_database, destination_database) == []


def test_identities_that_were_set_before_the_plan_are_given_back_by_a_rollback(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    with connect(source_database) as connection:
        connection.execute(b"create table no_key (n int)")
        connection.execute(b"create table log_only (n int not null)")
        connection.execute(b"create unique index log_key on log_only (n)")
        connection.execute(b"create unique index other_key on log_only (n)")
    move = project(source_database, destination_database)
    move.run("check-repl", "--apply", "--yes")
    assert identities(source_database) == [("log_only", "i"), ("no_key", "f")]
    with connect(source_database) as connection:
        connection.execute(b"alter table log_only replica identity using index other_key")
    move.run("plan", "--yes")
    move.run("rollback-to", "planned", "--yes")
    assert identities(source_database) == [("log_only", "i"), ("no_key", "d")], "what others changed stays"
    assert small.leftovers(source_database, destination_database) == []


def identities(url: str) -> list[tuple[str, str]]:
    with connect(url) as connection:
        return connection.execute(IDENTITIES.encode()).fetchall()  # type: ignore[return-value]


def last_value(url: str) -> int:
    with connect(url) as connection:
        row = connection.execute("""select last_value from "S p"."T""1_id_seq" """).fetchone()
        assert row is not None
        return int(row[0])


def refusal(move: Project, name: str) -> str:
    done = move.run(name, "--yes", check=False)
    assert done.returncode == 3, done.stderr
    return done.stderr.splitlines()[0].removeprefix("error: ")


def require_ran(shown: list[dict[str, str]], logs: dict[str, str]) -> None:
    """Make sure that every statement that was shown ran on its side, as its server's log tells it."""
    ran = {side: said(log) for side, log in logs.items()}
    for statement in shown:
        if not statement["text"].startswith(TOLD_OTHERWISE):
            assert said(statement["text"]) in ran[statement["side"]], statement
