"""Whatever an object is called, it migrates: names are never taken for syntax."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from migrator.demo.proof import compare
from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.project import Project

NAMES = {
    "quotes, dots, spaces": """ it's ''"a".b""c"..  d """,
    "upper case": "CamelCase",
    "newline": "one\ntwo\n--\n-- TOC entry 1 (class 0 OID 0)\n",
    "tab and backslash": "tab\tback\\slash\\n\r",
    "templates": "100% %s %(x)s %% {} {0} {name} {{",
    "injection": "x\"; drop table t;-- ';-- /* $1 $$ $body$",
    "longest": "sixty-three" + "x" * 52,
    "longest in bytes": "ü" * 31 + "x",
    "foreign": "🐘 naïve 数据",
    "reserved": "select",
    "digits, patterns, lists": "1st *?[a-z].* a=b,c=d",
}

# The source's database, migration and roles, and the destination's database.
DATABASES = {
    "quotes, templates, urls": ('it\'s "a".b %s {} $1 ?c=d&e=f#g@h:1/', " 'x' \"y\" %(x)s "),
    "control characters": ("one\ntwo\tthree\\", "postgresql://back\\slash\r\n"),
    "longest and foreign": ("x" * 63, "🐘 数据 select"),
}

# What belongs to the database; the grantee and the one who has settings are called alike.
DATABASE = """
alter database {n} owner to {n};
comment on database {n} is {s};
grant temporary on database {n} to {n} with grant option;
alter role {n} in database {n} set search_path = public, {n};
"""
SETTINGS = """
select pg_get_userbyid(d.datdba)::text,
       shobj_description(d.oid, 'pg_database'),
       replace(replace(s.setconfig[1], 'search_path=', ''), ', ', ',')
from pg_database d
join pg_db_role_setting s on s.setdatabase = d.oid and s.setrole = d.datdba
where d.datname = current_database()
"""

# Every kind of object, named so; those that share a namespace differ in their last letter.
SCHEMA = """
create schema {n};
grant usage on schema {n} to {n};
create type {n}.{n} as enum ({s}, 'other');
create domain {n}.{d} as text constraint {n} check (value <> 'forbidden');
create type {n}.{c} as ({n} int, b {n}.{n}[]);
create sequence {n}.{q} increment 3;
create function {n}.{n}({n} int) returns int language sql immutable as 'select $1';
create table {n}.{t} (
    {n} bigint generated always as identity,
    serial serial,
    kind {n}.{n} not null default {s},
    word {n}.{d},
    pair {n}.{c},
    number bigint default nextval('{n}.{q}'),
    constraint {p} primary key ({n}),
    constraint {k} check ({n} > 0)
);
create table {n}.{o} (
    {n} bigint references {n}.{t} deferrable,
    kind {n}.{n},
    primary key ({n}, kind)
) partition by list (kind);
create table {n}.{l} partition of {n}.{o} for values in ({s});
create table {n}.{r} partition of {n}.{o} default;
create index {i} on {n}.{t} ({n}.{n}(serial)) where kind = {s};
create view {n}.{v} as select * from {n}.{t};
create materialized view {n}.{m} as select kind, count(*) as {n} from {n}.{t} group by kind;
create function {n}.{f}() returns trigger language plpgsql as 'begin return new; end';
create trigger {n} before insert on {n}.{t} for each row execute function {n}.{f}();
create policy {n} on {n}.{t} to {n} using (true);
create statistics {n}.{x} on serial, kind from {n}.{t};
comment on column {n}.{t}.{n} is {s};
alter table {n}.{t} owner to {n};
grant select ({n}) on {n}.{t} to public;
alter default privileges for role {n} in schema {n} grant select on tables to {n};
insert into {n}.{t} (word, pair) select {s} || g, row(g, array[{s}, 'other']::{n}.{n}[])::{n}.{c}
    from generate_series(1, 50) g;
insert into {n}.{o} select {n}, case when {n} % 2 = 0 then {s} else 'other' end::{n}.{n} from {n}.{t};
"""

CHANGES = """
insert into {n}.{t} (kind, word) values ('other', {s} || 'by the stream');
update {n}.{t} set word = {s}, pair.{n} = 7 where {n} < 10;
update {n}.{o} set kind = 'other' where {n} = 4;
delete from {n}.{o} where {n} > 40;
select nextval('{n}.{q}');
"""

NEXT = "select nextval('{n}.{q}'), nextval(pg_get_serial_sequence('{n}.{t}', 'serial'))"


def filled(text: str, name: str) -> sql.Composed:
    """Return SQL over objects that are all called as much alike as one schema lets them."""

    def called(kind: str) -> sql.Identifier:
        # At most 63 bytes: a capital takes the place of the last character.
        return sql.Identifier(name[:-1] + kind.upper())

    sequence, table = (f"{sql.Identifier(name).as_string()}.{called(kind).as_string()}" for kind in "qt")
    literals = text.replace("'{n}.{q}'", "{sequence}").replace("'{n}.{t}'", "{table}")
    return sql.SQL(literals).format(
        n=sql.Identifier(name),
        s=sql.Literal(name[:63].encode()[:63].decode(errors="ignore")),
        sequence=sql.Literal(sequence),
        table=sql.Literal(table),
        **{kind: called(kind) for kind in "cdfiklmopqrtvx"},
    )


def quoted(name: str) -> str:
    return sql.Identifier(name).as_string() if name != "x" * 63 else name


def run(url: str, text: str, name: str) -> None:
    with connect(url) as connection:
        connection.execute(filled(text, name))


def value(url: str, text: str, name: str) -> tuple[int, ...]:
    with connect(url) as connection:
        row = connection.execute(filled(text, name)).fetchone()
    assert row is not None
    return row


def test_objects_of_any_name_migrate_and_roll_back_and_migrate_again(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    project: Callable[..., Project],
) -> None:
    names = NAMES.values()
    ensure_roles([source_cluster, destination_cluster], *names)
    for name in names:
        run(source_database, SCHEMA, name)
    moved = project(source_database, destination_database)

    moved.run("plan", "--yes")
    moved.run("advance", "--to", "replicating", "--yes")
    for name in names:
        run(source_database, CHANGES, name)
    moved.run("advance", "--to", "seq_synced", "--yes")
    moved.run("rollback-to", "planned", "--yes")
    moved.run("advance", "--to", "replicating", "--yes")
    for name in names:
        run(source_database, CHANGES, name)
    moved.run("advance", "--to", "cleaned", "--yes")

    assert compare(source_database, destination_database) == []
    for name in names:
        here, there = value(source_database, NEXT, name), value(destination_database, NEXT, name)
        assert all(mine > yours for mine, yours in zip(there, here, strict=True)), name


@pytest.mark.parametrize(("source", "destination"), DATABASES.values(), ids=DATABASES)
def test_databases_roles_and_migrations_of_any_name_are_told_apart_from_syntax(
    source: str,
    destination: str,
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
    project: Callable[..., Project],
) -> None:
    ensure_roles([source_cluster, destination_cluster], source)
    here, there = new_database(source_cluster, source), new_database(destination_cluster, destination)
    run(here, SCHEMA, source)
    run(here, DATABASE, source)
    moved = project(here, there, name=" ".join(source.split()))

    moved.run("plan", "--yes")
    moved.run("advance", "--to", "schema_copied", "--yes")
    moved.run("rollback-to", "planned", "--yes")
    moved.run("advance", "--to", "cleaned", "--yes")

    assert compare(here, there) == []
    with connect(there) as connection:
        assert connection.execute(SETTINGS).fetchone() == (source, source, f"public,{quoted(source)}")
