"""What could be missed by the copy and the stream, or left behind by them, and is not."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from migrator.connections import reading
from migrator.copy.relay import Relay
from migrator.demo.proof import compare
from migrator.errors import ChecksBlocked, GateClosed, MigrationExists, StepFailed, TimedOut
from migrator.events import ignore
from migrator.step import load_step
from migrator.steps import await_catch_up
from tests.fixtures import small
from tests.fixtures.road import Road, before, run
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer

    Roads = Callable[..., Road]

ADD = "insert into products (title, price) values ('{}', 1)"
FOUND = "select 1 from products where title = '{}'"
SCHEMAS = "select nspname::text from pg_namespace where nspname ~ '^migrator_'"


def test_a_change_that_came_to_the_source_by_replication_itself_arrives(road: Roads) -> None:
    moved = road("replicating")
    origin = "hazard of " + moved.source.rpartition("/")[2]
    with connect(moved.source) as replica:
        replica.execute("select pg_replication_origin_create(%s)", [origin])
        replica.execute("select pg_replication_origin_session_setup(%s)", [origin])
        replica.execute(ADD.format("from elsewhere").encode())
        replica.execute("select pg_replication_origin_session_reset()")
        replica.execute("select pg_replication_origin_drop(%s)", [origin])
    moved.arrives(FOUND.format("from elsewhere"))


def test_a_table_that_is_rewritten_while_the_copy_is_under_way_is_copied_again(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied")
    double = "alter table products alter column price type numeric(10, 2) using price * 2"
    copied: list[str] = []
    copy = Relay.copy

    async def copy_and_tell(self: Relay, piece: Any, *others: Any) -> Any:
        # Not the first one: the snapshot is in use, and the table's turn is still to come.
        if len(copied) == 1:
            moved.on_source(double)
        copied.append(piece.table.name)
        return await copy(self, piece, *others)

    moved.on_source("truncate products cascade; insert into products (title, price) values ('one', 1)")
    # The largest, whose turn comes first.
    moved.on_source("insert into events select n, 'in' from generate_series(1000, 20000) n")
    with monkeypatch.context() as patch:
        patch.setattr(Relay, "copy", copy_and_tell)
        assert "public.products was rewritten" in moved.refuse(StepFailed, 5)
    assert copied[0] != "products"
    moved.advance("replicating")
    assert moved.on_destination("select price from products") == [(2,)]
    moved.complete()


def test_a_table_is_locked_only_while_it_is_copied(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("schema_copied", copy={"jobs": 1})
    locked = """
        select l.relation::regclass::text
          from pg_locks l
          join pg_stat_activity a using (pid)
          join pg_class c on c.oid = l.relation and c.relnamespace = 'public'::regnamespace
         where a.application_name ~ '^migrator/' and a.datname = current_database()
           and l.database = (select oid from pg_database where datname = current_database())
    """
    found: list[list[Any]] = []
    copy = Relay.copy

    async def look_and_copy(self: Relay, *arguments: Any) -> Any:
        found.append(moved.on_source(locked))
        return await copy(self, *arguments)

    monkeypatch.setattr(Relay, "copy", look_and_copy)
    moved.advance("replicating")
    assert found == [[]] * 7


def test_a_table_under_forced_row_security_is_streamed(
    road: Roads, source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer
) -> None:
    ensure_roles([source_cluster, destination_cluster], "hazard_owner")
    moved = road(
        "replicating",
        setup="""
            create table guarded (id int primary key, text text);
            insert into guarded values (1, 'one');
            create policy few on guarded using (id < 10);
            alter table guarded owner to hazard_owner, enable row level security, force row level security
        """,
    )
    moved.on_source("insert into guarded values (2, 'two'), (20, 'twenty')")
    moved.on_source("update guarded set text = 'more' where id = 20")
    moved.arrives("select 1 from guarded where text = 'more'")
    moved.complete()


def test_an_event_trigger_does_not_fire_for_what_migrator_does(road: Roads) -> None:
    moved = road("")
    moved.on_source("""
        create table audit (id int generated always as identity primary key, command text not null);
        create function note_command() returns event_trigger language plpgsql as
            $$ begin insert into public.audit (command) values (tg_tag); end $$;
        create event trigger note_command on ddl_command_end execute function note_command();
    """)
    moved.on_source("create table noted (id int primary key)")
    moved.plan()
    moved.advance("cutover")
    moved.complete()
    for url in (moved.source, moved.destination):
        assert run(url, "select id, command from audit") == [(1, "CREATE TABLE")]
    moved.on_destination("alter table noted add column more int")
    assert moved.on_destination("select max(command) from audit where id > 1") == [("ALTER TABLE",)]


def test_no_setting_of_the_role_or_the_database_is_in_the_way(
    road: Roads, source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer
) -> None:
    of_database = {
        "lock_timeout": "1ms",
        "statement_timeout": "150ms",
        "idle_in_transaction_session_timeout": "1ms",
        "transaction_timeout": "150ms",
    }
    of_role = {
        "default_transaction_read_only": "on",
        "search_path": "nowhere",
        "session_replication_role": "replica",
        "role": "hazard_other",
    }
    clusters = [source_cluster, destination_cluster]
    ensure_roles(clusters, "hazard_other", "hazard_operator")
    bare = road("")
    bare.on_source("create materialized view slow as select 1 as one from pg_sleep(0.3)")
    name = bare.source.rpartition("/")[2], bare.destination.rpartition("/")[2]
    for cluster, database in zip(clusters, name, strict=True):
        alter = [f"alter database {database} set {s} = '{v}'" for s, v in of_database.items()]
        alter += ["alter role hazard_operator superuser login"]
        alter += [f"alter role hazard_operator set {s} = '{v}'" for s, v in of_role.items()]
        run(cluster.url("postgres"), "; ".join(alter))
    urls = [c.url(d, user="hazard_operator") for c, d in zip(clusters, name, strict=True)]
    settings = """
        select split_part(c, '=', 1) from pg_db_role_setting s, unnest(setconfig) c
         where setdatabase = (select oid from pg_database where datname = current_database())
           and setrole = 0
    """
    moved = road("", setup="", source=urls[0], destination=urls[1])
    # The stream's worker, which nobody can give options, would not work as the role that it logs in as.
    with pytest.raises(ChecksBlocked) as raised:
        moved.plan()
    assert "becomes hazard_other" in str(raised.value.fields["findings"])
    run(destination_cluster.url("postgres"), "alter role hazard_operator reset role")
    moved.plan()
    moved.advance("replicating")
    assert not {s for (s,) in bare.on_destination(settings)} & of_database.keys()
    bare.on_source(ADD.format("streamed"))
    bare.arrives(FOUND.format("streamed"))
    moved.advance("cleaned")
    assert {s for (s,) in bare.on_destination(settings)} == of_database.keys()
    assert compare(bare.source, bare.destination) == []


def test_a_lost_store_does_not_keep_anything_from_being_removed(road: Roads) -> None:
    moved = road("")
    urls = moved.source, moved.destination
    was = [small.fingerprint(url) for url in urls]
    moved.plan()
    moved.advance("replicating")
    moved.app.__exit__()
    (moved.project.directory / ".migrator" / "state.db").unlink()
    again = Road(moved.project, *urls)
    with again.app:
        again.plan()
        again.rollback("planned")
    assert small.leftovers(*urls) == []
    assert [small.fingerprint(url) for url in urls] == was


def test_another_destination_is_refused_while_the_first_one_is_begun(
    road: Roads, destination_cluster: EmbeddedServer, new_database: Callable[..., str], monkeypatch: Any
) -> None:
    moved = road()

    def die() -> None:
        raise KeyboardInterrupt

    before(monkeypatch, type(load_step("restore_pre_data")), "apply", die)
    with pytest.raises(KeyboardInterrupt):
        moved.advance()
    path = moved.project.path
    written = path.read_text(encoding="utf-8")
    path.write_text(written.replace(moved.destination, new_database(destination_cluster)), encoding="utf-8")
    other = Road(moved.project, moved.source, "")
    with other.app:
        with pytest.raises(MigrationExists) as raised:
            other.plan()
        assert raised.value.exit_code == 3
        path.write_text(written, encoding="utf-8")
        moved.rollback("planned")
        other.plan()


def test_two_migrations_of_one_source_do_not_see_each_other(
    road: Roads, destination_cluster: EmbeddedServer, new_database: Callable[..., str]
) -> None:
    # Streams that lead back would feed the source that the other one still moves.
    off = {"reverse": "off"}
    new = new_database(destination_cluster)
    one = road("schema_copied", name="one", cutover=off)
    two = road("schema_copied", name="two", setup="", destination=new, cutover=off)
    name = one.destination.rpartition("/")[2]
    one.advance("seq_synced")
    # The first one's fence stands on the source, lowered, while the second one copies the schema.
    one.on_destination(f"alter database {name} reset default_transaction_read_only")
    assert "fence is not up" in one.refuse(GateClosed, 4)
    one.on_destination(f"alter database {name} set default_transaction_read_only = on")
    two.advance("seq_synced")
    for each in (one, two):
        assert len(each.on_destination(SCHEMAS)) == 1
    one.on_source(ADD.format("for both"))
    one.advance("cutover")
    two.advance("cutover")
    for each in (one, two):
        assert compare(each.source, each.destination) == []
        each.advance("cleaned")
    assert small.leftovers(one.source, one.destination, two.destination) == []


def test_a_stream_that_an_apply_error_has_stopped_is_told_at_once(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied", replication={"catch_up_timeout": "15s"})

    def spoil() -> None:
        moved.on_destination("alter table products add check (title <> 'bad')")
        moved.on_source(ADD.format("bad"))

    monkeypatch.setattr(await_catch_up, "PATIENCE", 1.0)
    before(monkeypatch, type(load_step("await_catch_up")), "apply", spoil)
    began = time.monotonic()
    moved.refuse(TimedOut, 5)
    assert time.monotonic() - began < 10
    moved.on_destination("alter table products drop constraint products_title_check")
    moved.complete()


def test_a_database_of_another_encoding_moves_to_utf8(
    road: Roads, source_cluster: EmbeddedServer, new_database: Callable[..., str]
) -> None:
    latin = new_database(
        source_cluster, encoding="LATIN1", template="template0", lc_collate="C", lc_ctype="C"
    )
    moved = road(
        "replicating",
        source=latin,
        setup="""
            create table straße (id int primary key, größe text not null default 'übergroß');
            comment on table straße is 'Maße für die Straße';
            insert into straße values (1, 'groß');
        """,
    )
    moved.on_source("insert into straße values (2, 'größer'); insert into straße values (3)")
    moved.advance("cutover")
    rows = "select id, größe, obj_description('straße'::regclass) from straße order by id"
    assert len(moved.on_source(rows)) == 3
    assert moved.on_destination(rows) == moved.on_source(rows)
    moved.advance("cleaned")


def test_many_views_that_read_each_other_cost_no_time(road: Roads) -> None:
    levels = ["create materialized view a0 as select 1 as n; create view b0 as select 1 as n"]
    levels += [
        f"create {kind} view {name}{n} as select a.n from a{n - 1} a, b{n - 1} b"
        for n in range(1, 20)
        for kind, name in (("materialized", "a"), ("", "b"))
    ]
    moved = road(setup="; ".join(levels))
    record = moved.app.journal().load("move")
    began = time.monotonic()
    with reading(moved.app.config, record, ignore) as ctx:
        load_step("refresh_materialized_views").probe(ctx)
    assert time.monotonic() - began < 2
