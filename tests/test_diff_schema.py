"""Two schemas on real servers of different versions: equal after a restore, and each difference found."""

from __future__ import annotations

import json
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest
from psycopg import sql

from migrator import diff_schema as diff
from migrator.cli.main import run as cli
from migrator.diff import printed, shadow
from migrator.errors import Conflict, Declined, OutOfOrder
from migrator.events import ignore
from migrator.pg import tools
from tests.fixtures import schema
from tests.fixtures.road import run
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect
from tests.test_schema_objects import AUDITOR, OWNER, READER, WHOLE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from migrator.report_diff_schema import ObjectDifference, SchemaDiffReport
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

SAMPLE_ROLES = ("shop_owner", "shop_app", "shop_reporting")
LOOKER = "diff looker"
# A name of 63 bytes, and whatever else a name may hold.
LONG = "é" * 31 + "!"
ODD = 'it\'s a "name" with 100% . and\n\ttwo lines'
QUOTED = sql.Identifier(ODD).as_string()

# What the hairy schema does not have yet, hostile names above all.
MORE = f"""
create table h.spare (a text, b text, c text, d text, e text, f text);
create sequence h.going as bigint;
create schema {QUOTED};
create type {QUOTED}.{QUOTED} as enum ('it''s', {sql.Literal(ODD).as_string()});
create table {QUOTED}."{LONG}" (
    {QUOTED} {QUOTED}.{QUOTED} default 'it''s', "json_value" int check (json_value > 0), "Upper" text,
    primary key ("Upper"), kind varchar(9) constraint kinds check (kind in ('a', 'b')));
create index {QUOTED} on {QUOTED}."{LONG}" ("Upper", {QUOTED});
create function {QUOTED}.{QUOTED}({QUOTED} {QUOTED}.{QUOTED}) returns int language sql as 'select 1';
create trigger {QUOTED} before insert on {QUOTED}."{LONG}" for each row execute function h.touch({QUOTED});
alter table {QUOTED}."{LONG}" enable row level security;
create policy {QUOTED} on {QUOTED}."{LONG}" to "hairy auditor" using (json_value > 0);
"""

# What is done on one side, and what is told of it; "<" is only on the source, ">" only on the destination.
ON_DESTINATION: dict[str, str] = {
    "create schema extra": "schema extra >",
    "comment on schema h is 'another'": "schema h comment",
    "grant create on schema empty_one to hairy_reader": "schema empty_one privileges",
    "alter table h.whole set unlogged": "table h.whole persistence",
    "alter table h.booking set (fillfactor = 50)": "table h.booking options",
    "alter table h.people set (toast.autovacuum_enabled = false)": "table h.people toast options",
    "alter table h.hen enable row level security": "table h.hen row security",
    "alter table h.egg force row level security": "table h.egg forced row security",
    "alter table h.nothing replica identity nothing": "table h.nothing replica identity",
    "alter table h.tall set access method heap": "table h.tall access method",
    "alter table h.broken owner to hairy_owner": "table h.broken owner",
    "grant select on h.swap to public": "",
    "revoke delete on h.line from current_user": "table h.line privileges",
    "alter table h.grandchild no inherit h.child": "table h.grandchild inherits"
    " | column h.grandchild.id inherited"
    " | column h.grandchild.extra inherited | constraint parent_id_check on h.grandchild inherited",
    "alter table h.by_index alter b type varchar(5)": "column h.by_index.b type",
    "alter table h.hen alter egg set default 3": "column h.hen.egg default",
    "alter table h.line alter at set not null": "column h.line.at not null",
    "alter table h.hashed add constraint given not null v not valid":
        "column h.hashed.v not null,not null not valid | column h.hashed_0.v not null,not null not valid"
        " | column h.hashed_1.v not null,not null not valid",
    "alter table h.gen alter other set generated always": "column h.gen.other identity",
    "alter table h.gen alter doubled set expression as (n * 3)": "column h.gen.doubled generated",
    'alter table h.nothing add extra text collate "C"': "column h.nothing.extra >",
    "alter table h.swap alter place type int8": "column h.swap.place type",
    "alter table h.spare alter a set storage external": "column h.spare.a storage",
    "alter table h.spare alter b set compression pglz": "column h.spare.b compression",
    "alter table h.spare alter c set statistics 77": "column h.spare.c statistics",
    "alter table h.spare alter d set (n_distinct = 9)": "column h.spare.d options",
    "comment on column h.spare.e is 'another'": "column h.spare.e comment",
    "grant select (f) on h.spare to hairy_reader": "column h.spare.f privileges",
    "alter function h.twice(int) depends on extension hstore":
        "function h.twice(integer) depends on extensions",
    "alter materialized view h.counts_again depends on extension hstore":
        "materialized view h.counts_again depends on extensions",
    "alter index h.orders_alone depends on extension hstore": "index h.orders_alone depends on extensions",
    "alter trigger tell on h.tree depends on extension hstore":
        "trigger tell on h.tree depends on extensions",
    "comment on column h.keyed.n is 'another'": "column h.keyed.n comment",
    "grant select (times) on h.keyed to hairy_owner": "column h.keyed.times privileges",
    "comment on column h.keyed_again.id is 'another'": "",
    "grant select (id) on h.keyed_again to hairy_owner": "column h.keyed_again.id privileges,comment",
    "alter materialized view h.keyed_again alter label set storage external":
        "column h.keyed_again.label storage,compression,statistics,options",
    "alter materialized view h.keyed_again alter label set compression pglz": "",
    "alter materialized view h.keyed_again alter label set statistics 77": "",
    "alter materialized view h.keyed_again alter label set (n_distinct = 5)": "",
    "refresh materialized view h.unfilled": "materialized view h.unfilled not populated",
    "revoke usage on type h.swap from public": "table h.swap privileges,privileges of row type",
    "comment on type h.sorted is 'another'": "view h.sorted options,comment of row type",
    "grant usage on type h.by_index to public": "",
    "comment on column h.money.tags is 'another'": "composite type h.money comments on attributes",
    "grant select (rolname) on pg_catalog.pg_authid to hairy_owner":
        "privileges on table column pg_catalog.pg_authid.rolname >",
    "grant usage on foreign data wrapper postgres_fdw to hairy_owner":
        "privileges on foreign-data wrapper postgres_fdw >",
    "do $$ begin execute format('alter role hairy_reader in database %I set default_transaction_read_only"
    " = on', current_database()); end $$": "setting default_transaction_read_only of role hairy_reader >",
    "do $$ begin execute format('alter database %I set default_transaction_read_only = off',"
    " current_database()); end $$": "",
    "alter foreign table h.far options (set table_name 'c')": "foreign table h.far foreign options",
    "alter foreign table h.far alter id options (set column_name 'z')": "column h.far.id foreign options",
    "alter table h.tree add constraint extra check (id > -5)": "constraint extra on h.tree >",
    "alter table h.gen validate constraint n_known": "constraint n_known on h.gen definition,not valid",
    "alter table h.hen alter constraint from_egg deferrable":
        "constraint from_egg on h.hen definition,deferrable,triggers",
    "alter table h.egg disable trigger all": "constraint egg_hen_fkey on h.egg triggers",
    "alter domain h.late validate constraint known": "domain constraint known on h.late definition,not valid",
    "create index extra on h.tree (up)": "index h.extra >",
    "alter table h.tree cluster on tree_pkey": "index h.tree_pkey clustered",
    "comment on index h.tree_up_id_key is 'another'": "index h.tree_up_id_key comment",
    "alter table h.gen disable trigger later": "trigger later on h.gen state",
    "alter table h.gen enable always trigger changed": "trigger changed on h.gen state",
    "alter table h.orders_rest disable trigger on_root": "trigger on_root on h.orders_rest >",
    "create or replace trigger statement after truncate on h.gen execute function h.touch('more')":
        "trigger statement on h.gen definition,state",
    "alter table h.tree disable rule no_delete": "rule no_delete on h.tree state",
    "create or replace rule also as on insert to h.sorted do also notify other":
        "rule also on h.sorted definition",
    "alter policy own on h.gen using (n > 7)": "policy own on h.gen using",
    "alter statistics h.st set statistics 56": "statistics object h.st target",
    "drop statistics h.ste": "statistics object h.ste <",
    "alter sequence h.alone increment -4": "sequence h.alone increment",
    "alter sequence h.owned owned by none": "sequence h.owned owned by",
    "alter domain h.words set default '{}'": "domain h.words default",
    "create type h.extra_range as range (subtype = int8)": "range type h.extra_range >",
    "create or replace view h.checked as select * from h.parent where id < 9 with cascaded check option":
        "view h.checked definition",
    "alter view h.sorted reset (security_barrier)": "",
    "alter view h.keyed alter column n set default 5": "view h.keyed columns",
    "alter materialized view h.counts set (fillfactor = 70)": "materialized view h.counts options",
    "create or replace function h.touch() returns trigger language plpgsql as 'begin return null; end'":
        "function h.touch() source",
    "alter function h.secret() set work_mem = '6MB'": "function h.secret() settings",
    "alter function h.on_ddl() stable security definer": "function h.on_ddl() volatility,security definer",
    "revoke execute on function h.near from public": "function h.near(h.money, h.money) privileges",
    "create or replace function h.at_end(a int) returns int begin atomic select a + 2; end":
        "function h.at_end(integer) body",
    "create or replace procedure h.work(inout n int) language plpgsql as 'begin n := n + 2; end'":
        "procedure h.work(integer) source",
    "create or replace aggregate h.total (int) "
    "(sfunc = int4pl, stype = int, initcond = '1', parallel = safe)":
        "aggregate h.total(integer) initial value",
    "alter operator h.~=~ (h.money, h.money) set (restrict = eqsel)":
        "operator h.~=~(h.money, h.money) restrict",
    "alter operator family h.orders using btree add function 1 (int4, int8) btint48cmp(int4, int8)":
        "operator family h.orders using btree members",
    "alter operator class h.descending using btree owner to hairy_owner":
        "operator class h.descending using btree owner",
    "create cast (h.money as text) with inout": "cast h.money as text >",
    "create transform for int language sql "
    "(from sql with function prsd_lextype(internal), to sql with function int4recv(internal))":
        "transform integer language sql >",
    "create language other handler plpgsql_call_handler": "language other >",
    "create access method heap_more type table handler heap_tableam_handler": "access method heap_more >",
    "drop conversion h.latin": "conversion h.latin <",
    "alter text search configuration h.search alter mapping for word with simple":
        "text search configuration h.search mappings",
    "alter text search dictionary h.plain (accept = true)": "text search dictionary h.plain options",
    "create text search parser h.parser (start = prsd_start, gettoken = prsd_nexttoken, "
    "end = prsd_end, lextypes = prsd_lextype)": "text search parser h.parser >",
    "create text search template h.template (lexize = dsimple_lexize)": "text search template h.template >",
    "create foreign data wrapper nowhere": "foreign-data wrapper nowhere >",
    "alter server elsewhere options (set host 'somewhere.example')": "foreign server elsewhere options",
    "alter user mapping for hairy_reader server elsewhere options (set user 'v', set password 'new')":
        "user mapping hairy_reader on elsewhere options",
    "create extension tablefunc schema h": "extension tablefunc >",
    "alter default privileges revoke select on tables from hairy_reader":
        "default privileges for postgres on tables <",
    "alter default privileges for role hairy_owner in schema h grant usage on sequences to hairy_reader":
        "default privileges for hairy_owner in schema h on sequences granted",
    "grant execute on function pg_catalog.pg_read_file(text) to hairy_owner":
        "privileges on function pg_catalog.pg_read_file(pg_catalog.text) privileges",
    "revoke execute on function public.similarity from public":
        "privileges on function public.similarity(pg_catalog.text,pg_catalog.text) >",
    "do $$ begin execute format('alter database %I connection limit 5', current_database()); end $$":
        "database itself connection limit",
    "do $$ begin execute format('alter database %I set work_mem = 9999', current_database()); end $$":
        "setting work_mem >",
    "set allow_system_table_mods = on; "
    "insert into pg_seclabel values ('h.tree'::regclass, 'pg_class'::regclass, 0, 'p', 'secret')":
        "table h.tree security labels",
    "create publication of_everything for all tables": "",
    f'alter table {QUOTED}."{LONG}" alter {QUOTED} drop default':
        f'column {QUOTED}."{LONG}".{QUOTED} default',
    f'alter table {QUOTED}."{LONG}" disable trigger {QUOTED}': f'trigger {QUOTED} on {QUOTED}."{LONG}" state',
    f'alter policy {QUOTED} on {QUOTED}."{LONG}" to public': f'policy {QUOTED} on {QUOTED}."{LONG}" to',
    f"alter function {QUOTED}.{QUOTED} strict": f"function {QUOTED}.{QUOTED}({QUOTED}.{QUOTED}) strict",
    f"alter index {QUOTED}.{QUOTED} set (fillfactor = 44)": f"index {QUOTED}.{QUOTED} definition",
    f"alter type {QUOTED}.{QUOTED} add value 'more' before 'it''s'": f"enum {QUOTED}.{QUOTED} labels",
    "alter event trigger watch disable": "event trigger watch state",
}  # fmt: skip
RANGED = "create table h.ranged (a int) partition by range (a); create table h.bounded partition of h.ranged"
# What is another thing of the same name on both sides: what is done on the source, on the destination, told.
ON_BOTH = [
    (
        "create type h.ordered as enum ('a', 'b')",
        "create type h.ordered as enum ('b', 'a')",
        "enum h.ordered labels",
    ),
    (
        "create type h.pair as (a int, b int)",
        "create type h.pair as (b int, a int)",
        "composite type h.pair attributes",
    ),
    (
        "alter function h.twice(int) set work_mem = '5MB' set enable_sort = off",
        "alter function h.twice(int) set enable_sort = off set work_mem = '5MB'",
        "",
    ),
    (
        'create aggregate h.rank_of (variadic "any" order by variadic "any") (sfunc = '
        "ordered_set_transition_multi, stype = internal, finalfunc = rank_final, "
        "finalfunc_extra, hypothetical)",
        'create aggregate h.rank_of (variadic "any" order by variadic "any") (sfunc = '
        "ordered_set_transition_multi, stype = internal, finalfunc = rank_final, finalfunc_extra)",
        'aggregate h.rank_of("any") of sets',
    ),
    (
        "create table h.turned (a int, b int)",
        "create table h.turned (b int, a int)",
        "table h.turned column order",
    ),
    (
        "create table h.parted (a int, b int) partition by range (a)",
        "create table h.parted (a int, b int) partition by range (b)",
        "table h.parted partition key",
    ),
    (
        f"{RANGED} for values from (1) to (2)",
        f"{RANGED} for values from (1) to (3)",
        "table h.bounded bound",
    ),
    (
        "create collation h.mine (provider = libc, locale = 'C')",
        "create collation h.mine (provider = libc, locale = 'POSIX')",
        "collation h.mine locale",
    ),
    (
        "create table h.lonely (id serial primary key, v text unique); comment on table h.lonely is 'x'",
        "",
        "table h.lonely <",
    ),
    (
        "alter table h.pointing_high disable trigger all",
        "",
        "constraint pointing_h_fkey on h.pointing triggers",
    ),
    (
        "insert into h.whole values (7, 'x'), (7, 'y')",
        "delete from h.whole; create unique index whole_a on h.whole (a)",
        "index h.whole_a invalid,not ready",
    ),
]


def compared(source: str, destination: str, **options: Any) -> SchemaDiffReport:
    return diff.diff_schemas(source, destination, ignore, **options)


def told(found: SchemaDiffReport, *verdicts: str) -> set[str]:
    """Return what has one of the verdicts (by default all that differ), properties included."""
    wanted = verdicts or ("only on the source", "only on the destination", "differs")
    return {said(d) for d in found.differences if d.verdict in wanted}


def said(difference: ObjectDifference) -> str:
    names = "" if difference.verdict.startswith("only") else ",".join(p.name for p in difference.properties)
    where = {"only on the source": "<", "only on the destination": ">"}.get(difference.verdict, names)
    return f"{difference.kind} {difference.name} {where}"


def restore(source: str, destination: str, *options: str) -> None:
    """Dump a database, and restore it as a database of the same name, which is there."""
    pg_dump = tools.find("pg_dump", at_least=18, prefer=18)
    words = [pg_dump, "-Fc", *options, f"--dbname={source}"]
    archive = subprocess.run(words, check=True, capture_output=True)
    into = destination.rpartition("/")[0] + "/postgres"
    words = ["--clean", "--if-exists", "--create", "--exit-on-error", f"--dbname={into}"]
    subprocess.run(
        [pg_dump.with_name("pg_restore"), *words], input=archive.stdout, check=True, capture_output=True
    )


@pytest.fixture(scope="module")
def roles(source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer) -> Iterator[None]:
    servers = [source_cluster, destination_cluster]
    for server in servers:
        schema.create_roles(server)
    ensure_roles(servers, OWNER, READER, AUDITOR, LOOKER, *SAMPLE_ROLES)
    yield
    for server in servers:
        schema.drop_roles(server)


@pytest.fixture(scope="module")
def hairy(
    source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer, roles: None
) -> Iterator[tuple[str, str]]:
    """A database with something of every kind, and what becomes of it by a dump and a restore."""
    name = "diff_schema_hairy"
    servers = (source_cluster, destination_cluster)
    source, destination = (server.create_database(name) for server in servers)
    run(source, WHOLE)
    run(source, MORE)
    restore(source, destination)
    yield source, destination
    for server in servers:
        server.drop_database(name)


@pytest.fixture
def both(
    hairy: tuple[str, str],
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
) -> tuple[str, str]:
    """Copies of the two hairy ones, to be changed."""
    template = hairy[0].rpartition("/")[2]
    source = new_database(source_cluster, template=template)
    name = source.rpartition("/")[2]
    return source, new_database(destination_cluster, name=name, template=template)


def test_what_a_dump_restores_is_equal_but_for_the_versions_of_extensions(hairy: tuple[str, str]) -> None:
    found = compared(*hairy)
    assert told(found) == set()
    assert told(found, "printed otherwise") == {
        *(f"extension {name} version" for name in ("btree_gist", "citext", "postgres_fdw")),
        f'constraint kinds on {QUOTED}."{LONG}" definition',
    }
    assert (found.exit_code, found.not_compared) == (0, ())
    assert found.objects > 300


def test_one_difference_of_every_kind_is_found_by_its_kind_and_name_and_no_other(
    both: tuple[str, str],
) -> None:
    source, destination = both
    for here, there, _ in ON_BOTH:
        run(source, here)
        run(destination, there or "select 1")
    for statement in ON_DESTINATION:
        run(destination, statement)
    with suppress(psycopg.errors.UniqueViolation):
        run(source, "create unique index concurrently whole_a on h.whole (a)")
    found = compared(source, destination)
    wanted = {what for line in ON_DESTINATION.values() for what in line.split(" | ") if what}
    wanted |= {what for _, _, what in ON_BOTH if what}
    assert told(found) == wanted
    assert found.exit_code == 4
    assert "'new'" not in str(found.as_dict())


def test_a_function_that_everybody_may_execute_after_a_restore_is_found(
    source_database: str, destination_cluster: EmbeddedServer, new_database: Callable[..., str]
) -> None:
    destination = new_database(destination_cluster, name=source_database.rpartition("/")[2])
    run(source_database, "alter default privileges revoke execute on functions from public")
    run(source_database, "create function secret() returns int language sql as 'select 1'")
    run(source_database, "alter default privileges grant execute on functions to public")
    restore(source_database, destination, "--no-privileges")
    (found,) = (d for d in compared(source_database, destination).differences if d.name != "public")
    assert said(found) == "function public.secret() privileges"
    assert [found.properties[0].source, found.properties[0].destination] == [
        ["OWNER: EXECUTE"],
        ["OWNER: EXECUTE", "PUBLIC: EXECUTE"],
    ]


def test_names_are_ordered_alike_whatever_the_encoding(
    source_cluster: EmbeddedServer, destination_database: str, new_database: Callable[..., str]
) -> None:
    latin = {"encoding": "LATIN1", "template": "template0", "lc_collate": "C", "lc_ctype": "C"}
    source = new_database(source_cluster, **latin)
    for url in (source, destination_database):
        for name in ("z", "é", "ÿ", "Z", "_", "a b", "a"):
            run(url, f'create table "{name}" (id int)')
    run(source, 'create table "¼" (id int)')
    # The schema itself came to be another one with 15.
    found = told(compared(source, destination_database)) - {"schema public owner,privileges"}
    assert found == {'table public."¼" <'}


def test_what_a_role_may_not_see_is_not_called_equal(both: tuple[str, str]) -> None:
    source, destination = both
    for url in both:
        run(url, f'alter role "{LOOKER}" login')
    run(destination, "revoke select on pg_catalog.pg_policy from public")
    urls = [url.replace("postgres@", quote(LOOKER) + "@") for url in both]
    found = compared(*urls)
    assert told(found) == {"privileges on table pg_catalog.pg_policy >"}
    run(destination, "grant select on pg_catalog.pg_policy to public")
    found = compared(*urls)
    assert (told(found), found.exit_code) == (set(), 5)
    assert found.not_compared == ("user mapping hairy_reader on elsewhere: not all of it may be seen",)
    run(destination, "revoke select on pg_catalog.pg_policy from public")
    run(source, "revoke select on pg_catalog.pg_policy from public")
    assert [why.partition(":")[0] for why in compared(*urls).not_compared] == [
        "policies",
        "user mapping hairy_reader on elsewhere",
    ]


def test_where_default_versions_cannot_be_asked_for_the_rest_of_the_extensions_is_compared(
    both: tuple[str, str],
) -> None:
    for url in both:
        run(url, f'alter role "{LOOKER}" login')
        run(url, "revoke select on pg_catalog.pg_available_extensions from public")
    run(both[1], "alter extension hstore set schema public")
    run(both[1], "drop extension file_fdw cascade")
    found = compared(*(url.replace("postgres@", quote(LOOKER) + "@") for url in both))
    assert {"extension hstore schema", "extension file_fdw <"} <= told(found)
    (why, _mapping) = found.not_compared
    assert why.startswith("extension versions: source: permission denied for ")


def test_a_database_that_became_a_template_is_found(both: tuple[str, str]) -> None:
    name = both[1].rpartition("/")[2]
    run(both[1], f'alter database "{name}" is_template true')
    try:
        assert told(compared(*both)) == {"database itself template"}
    finally:
        run(both[1], f'alter database "{name}" is_template false')


def test_one_server_prints_what_two_would_print_otherwise(
    both: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(printed, "RULES", ())
    run(both[1], "create or replace view h.checked as select * from h.parent where id < 9")
    run(both[1], "revoke execute on function h.near from public")
    kinds = f'constraint kinds on {QUOTED}."{LONG}" definition'
    real = {"view h.checked options,definition", "function h.near(h.money, h.money) privileges"}
    assert told(compared(*both)) == {kinds} | real
    asked: list[str] = []

    def confirm(question: str) -> bool:
        asked.append(question)
        return True

    found = compared(*both, shadow=True, confirm=confirm)
    assert (told(found), found.shadow) == (real, True)
    assert kinds in told(found, "printed otherwise")
    (question,) = asked
    name = question.split()[2]
    assert f"create database {name} on the destination" in question
    assert run(both[1], "select from pg_database where datname ~ '^migrator_shadow'") == []
    with pytest.raises(Declined):
        compared(*both, shadow=True)

    server = both[1].rpartition("/")[0]
    run(both[1], f"create database {name}")
    with pytest.raises(Conflict, match="is not ours"):
        compared(*both, shadow=True, confirm=confirm)
    run(both[1], f"comment on database {name} is 'migrator:{name}'")
    with connect(f"{server}/{name}"), pytest.raises(Conflict, match="in use"):
        compared(*both, shadow=True, confirm=confirm)
    assert told(compared(*both, shadow=True, confirm=confirm)) == real
    assert run(both[1], f"select from pg_database where datname = '{name}'") == []


def test_an_interrupt_as_the_temporary_database_appears_leaves_none(
    both: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(both[1], "create or replace view h.checked as select * from h.parent where id < 9")
    execute = shadow._run

    def interrupted(session: Any, statement: str, name: str, mark: str = "") -> None:
        execute(session, statement, name, mark)
        if statement == shadow.CREATE:
            raise KeyboardInterrupt

    monkeypatch.setattr(shadow, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compared(*both, shadow=True, confirm=lambda _question: True)
    assert run(both[1], "select from pg_database where datname ~ '^migrator_shadow'") == []


def test_the_command_shows_both_definitions_and_ends_with_the_verdict(
    both: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    between = ["diff", "--schema", "--ddl", "--source", both[0], "--destination", both[1]]
    assert cli(between) == 0
    assert "objects compared · equal · 4 printed otherwise" in capsys.readouterr().out
    run(both[1], "alter table h.hen alter egg set default 3; create table h.new (id int)")
    assert cli(between) == 4
    said_of_it = capsys.readouterr().out
    assert "\n  only on the destination  table   h.new\n" in said_of_it
    assert "\n  differs                  column  h.hen.egg  default\n" in said_of_it
    assert "-- column h.hen.egg: differs\n--- source\n+++ destination\n" in said_of_it
    assert "\n+default: 3" in said_of_it
    assert cli(["--json", *between]) == 4
    answered = json.loads(capsys.readouterr().out)
    assert answered["counts"]["differs"] == answered["counts"]["only_on_the_destination"] == 1
    assert answered["exit_code"] == 4
    assert cli([*between, "--data"]) == 2
    assert "--data and --schema" in capsys.readouterr().err


def test_a_migration_is_compared_in_each_state_and_what_is_to_come_is_told_apart(
    road: Roads, roles: None, source_database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    schema.load(source_database)
    moved = road("planned", setup="", tables={"unlogged": "copy", "large_objects": "copy"})
    with pytest.raises(OutOfOrder):
        moved.app.diff_schema()
    moved.advance("schema_copied")
    found = moved.app.diff_schema()
    assert (told(found), found.exit_code, found.state) == (set(), 5, "schema_copied")
    assert {"index", "constraint", "policy", "trigger"} <= {
        d.kind for d in found.differences if d.verdict == "expected"
    }
    moved.advance("seq_synced")
    (late,) = (d for d in moved.app.diff_schema().differences if d.verdict != "printed otherwise")
    assert (late.kind, late.name, late.expected) == ("setting", "statement_timeout", "comes with cut_over")
    moved.on_source("alter table shop.log add extra int")
    assert told(moved.app.diff_schema()) == {"column shop.log.extra <"}
    moved.on_source("alter table shop.log drop extra")
    for state in ("cutover", "cleaned"):
        moved.advance(state)
        found = moved.app.diff_schema()
        assert (told(found), found.exit_code, found.not_compared) == (set(), 0, ())
    assert cli(["--config", str(moved.project.path), "diff", "--schema"]) == 0
    assert "move  cleaned  127.0.0.1" in capsys.readouterr().out
