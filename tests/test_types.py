"""Every type's values arrive unchanged, in the binary and in the text form of the copy."""

from __future__ import annotations

from itertools import zip_longest
from random import Random
from typing import TYPE_CHECKING, Any, LiteralString, cast

from psycopg import sql

from migrator.copy.formats import shapes
from migrator.demo.proof import compare
from migrator.pg.catalog import all_tables
from migrator.pg.session import ReadSession
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg

    from tests.fixtures.project import Project

USER_TYPES = """
create schema t;
create type t.mood as enum ('sad', 'it''s ok', '{', '\\');
create domain t.positive as int check (value > 0);
create domain t.moods as t.mood[];
create type t.point3 as (x float8, y float8, z float8);
create type t.tagged as (mood t.mood, tags t.mood[], at t.point3);
create type t.span as range (subtype = float8);
create type t.moodspan as range (subtype = t.mood);
create function t.f(int) returns int language sql as 'select 1';
create table t.mine (id int primary key);
"""

# Column type → the values it takes; NULL is added to each.
BASE: dict[str, list[str]] = {
    "bool": ["true", "false"],
    "smallint": ["-32768", "32767"],
    "int": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807"],
    "numeric": [
        "0",
        "-0.000000000000000000001",
        "1e-16000",
        "1e131071",
        "NaN",
        "Infinity",
        "-Infinity",
        "1.500",
    ],
    "numeric(1000, 500)": ["1.5", "-1e499"],
    "numeric(3, -2)": ["12345"],
    "real": ["1.1754944e-38", "3.4028235e38", "-0", "NaN", "Infinity", "-Infinity", "0.1"],
    "double precision": ["5e-324", "1.7976931348623157e308", "-0", "NaN", "-Infinity", "0.30000000000000004"],
    "money": ["-92233720368547758.08", "92233720368547758.07"],
    "text": ["", " ", "\t\n\r\b\f\v", "\\N", "\\.", "\\\\", "\x01\x7f", "🐘 naïve", "NULL", '"', "x" * 9000],
    "varchar(3)": ["", "abc", "日本語"],
    "char(5)": ["", "a", "abcde"],
    '"char"': ["", "a", "\\377"],
    "name": ["", "x" * 63],
    "bytea": ["", "\\x00", "\\x5c4e0a", "\\xff"],
    "date": ["4713-01-01 BC", "5874897-12-31", "infinity", "-infinity"],
    "time": ["00:00:00", "24:00:00", "12:34:56.789012"],
    "timetz": ["00:00:00+15:59", "24:00:00-15:59"],
    "timestamp": ["4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999", "infinity", "-infinity"],
    "timestamptz": ["4714-11-24 00:00:00+00 BC", "294276-12-31 23:59:59.999999+00", "infinity"],
    "interval": ["-178000000 years", "1 mon -1 day 00:00:00.000001", "infinity", "-infinity"],
    "uuid": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
    "json": ['{"b" : 1, "a":\t[1.0, null, "\\u0041"], "b": 2}', "null", '""'],
    "jsonb": ['{"b": 1, "a": [1.0, 1e400, "\\u00e9"]}', "null", "[]"],
    "jsonpath": ["$.a[*] ? (@ > 1)", "strict $"],
    "bit(3)": ["000", "101"],
    "varbit": ["", "1" * 100],
    "inet": ["0.0.0.0/0", "192.168.0.1/24", "::ffff:1.2.3.4", "fe80::1/64"],
    "cidr": ["10.0.0.0/8", "::/0"],
    "macaddr": ["00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"],
    "macaddr8": ["08:00:2b:01:02:03:04:05"],
    "point": ["(0,-0)", "(1e308,NaN)", "(Infinity,1)"],
    "line": ["{1,2,3}"],
    "lseg": ["[(0,0),(1,1)]"],
    "box": ["(1,1),(0,0)"],
    "path": ["((0,0),(1,1))", "[(0,0),(1,1)]"],
    "polygon": ["((0,0),(1,1),(2,0))"],
    "circle": ["<(1,2),3>"],
    "int4range": ["empty", "(,)", "[1,5)"],
    "int8range": ["[1,)"],
    "numrange": ["(1.5,NaN]"],
    "tsrange": ["[-infinity,infinity]"],
    "tstzrange": ["[2020-01-01 00:00+00,)"],
    "daterange": ["[2020-01-01,infinity)"],
    "int4multirange": ["{}", "{[1,2),[5,)}"],
    "tstzmultirange": ["{(,2020-01-01 00:00+00)}"],
    "tsvector": ["", "'a':1A,2B 'it''s':3 'b c'"],
    "tsquery": ["'a' & !'b' <-> 'c':*A"],
    "oid": ["0", "4294967295"],
    "xid": ["4294967295"],
    "xid8": ["18446744073709551615"],
    "cid": ["7"],
    "tid": ["(4294967295,65535)"],
    "pg_lsn": ["0/0", "FFFFFFFF/FFFFFFFF"],
    "pg_snapshot": ["10:20:10,14,15"],
    "txid_snapshot": ["10:20:10"],
    "int2vector": ["1 2 3"],
    "oidvector": ["1 2 3"],
    "int[]": ["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[-1:0][2:3]={{1,2},{3,4}}"],
    "text[]": ["{}", '{"",NULL,"NULL","a,b","\\"","\\\\","{}","\\t"}'],
    "bytea[]": ['{"\\\\x00",NULL}'],
    "timestamptz[]": ["{infinity,-infinity}"],
    "jsonb[]": ['{"{\\"a\\": 1}",NULL}'],
    "t.positive": ["1"],
    "t.mood": ["sad", "it's ok", "{", "\\"],
    "t.point3": ["(1,-0,NaN)", "(,,)"],
    "t.span": ["[1,2)", "empty"],
    "t.span_multirange": ["{[1,2),[3,)}"],
    "t.moodspan": ["[sad,{)"],
}

# These name rows of the catalogs by their oids, or hold the oids of types of this database.
AS_TEXT: dict[str, list[str]] = {
    "regclass": ["t.mine", "pg_class", "-"],
    "regproc": ["now", "-"],
    "regprocedure": ["abs(int)", "t.f(int)"],
    "regoperator": ["+(integer,integer)"],
    "regtype": ["int", "t.mood"],
    "regrole": ["postgres"],
    "regnamespace": ["t", "public"],
    "regconfig": ["english"],
    "regdictionary": ["simple"],
    "regcollation": ['"C"'],
    "regclass[]": ["{t.mine,pg_class,-}"],
    "t.mood[]": ["{}", '{sad,NULL,"{","\\\\"}', "{{sad},{it's ok}}"],
    "t.moods": ["{sad}"],
    "t.positive[]": ["{1,NULL}"],
    "t.point3[]": ['{"(1,2,3)",NULL}'],
    "t.tagged": ['(sad,"{sad,NULL}","(1,2,3)")', "(,,)"],
    "t.tagged[]": ['{"(sad,{},)"}'],
    "t.span[]": ['{"[1,2)",empty}'],
    "aclitem": ["postgres=arwdDxt/postgres"],
    "aclitem[]": ['{"=r/postgres"}'],
}

LARGE = """
create table t.large (id int primary key, data bytea);
create table t.large_text (id int primary key, data bytea, forced t.mood[]);
"""


TABLES = {f"t.b{number}": kind for number, kind in enumerate(BASE)} | {
    f"t.o{number}": kind for number, kind in enumerate(AS_TEXT)
}
# All base types once more, beside a column that makes the whole table travel as text.
WIDE = "t.wide"


def create(url: str) -> None:
    columns = ", ".join(f"c{number} {kind}" for number, kind in enumerate(BASE))
    with connect(url) as connection:
        connection.execute(USER_TYPES)
        for name, kind in TABLES.items():
            connection.execute(f"create table {name} (id serial primary key, v {kind})".encode())
        connection.execute(
            f"create table {WIDE} (id serial primary key, forced t.mood[], {columns})".encode()
        )


def fill(url: str) -> None:
    values = BASE | AS_TEXT
    with connect(url) as connection:
        for name, kind in TABLES.items():
            insert(connection, name, [("v", kind)], [[value] for value in (*values[kind], None)])
        columns = [(f"c{number}", kind) for number, kind in enumerate(BASE)]
        rows = list(zip_longest(*BASE.values()))
        insert(connection, WIDE, columns, rows)


def insert(
    connection: psycopg.Connection[Any],
    name: str,
    columns: list[tuple[str, str]],
    rows: Sequence[Sequence[str | None]],
) -> None:
    kinds = [sql.SQL(cast("LiteralString", kind)) for _, kind in columns]
    new = sql.SQL("insert into {} ({}) values {}").format(
        sql.Identifier(*name.split(".")),
        sql.SQL(", ").join(sql.Identifier(column) for column, _ in columns),
        sql.SQL(", ").join(
            sql.SQL("({})").format(
                sql.SQL(", ").join(
                    sql.SQL("{}::{}").format(sql.Literal(value), kind)
                    for value, kind in zip(row, kinds, strict=True)
                )
            )
            for row in rows
        ),
    )
    connection.execute(new)


def formats(url: str) -> dict[str, str]:
    with ReadSession.open(url, side="source", application="test") as session:
        found = all_tables(session)
        chosen = shapes(session, found)
        return {t.label: chosen[t.oid].format for t in found}


def test_every_type_arrives_unchanged_in_binary_and_in_text(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    create(source_database)
    fill(source_database)
    expected = {name: "binary" if kind in BASE else "text" for name, kind in TABLES.items()}
    assert formats(source_database) == {**expected, WIDE: "text", "t.mine": "binary"}

    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "replicating", "--yes")
    # The sequences' turn has not come yet.
    assert [d for d in compare(source_database, destination_database) if d.kind != "sequence"] == []
    fill(source_database)
    with connect(source_database) as connection:
        connection.execute("update t.wide set forced = '{sad}' where id % 2 = 0")
    moved.run("advance", "--to", "cleaned", "--yes")
    assert compare(source_database, destination_database) == []


def test_a_value_of_20_mb_arrives_unchanged_in_binary_and_in_text(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    with connect(source_database) as connection:
        connection.execute(USER_TYPES)
        connection.execute(LARGE)
        connection.execute("insert into t.large values (1, %b)", [Random(0).randbytes(20 * 1024 * 1024)])
        connection.execute("insert into t.large_text select id, data from t.large")
    assert formats(source_database) == {"t.large": "binary", "t.large_text": "text", "t.mine": "binary"}
    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "replicating", "--yes")
    with connect(source_database) as connection:
        connection.execute("insert into t.large_text (id, data) select 2, data from t.large")
    moved.run("advance", "--to", "cutover", "--yes")
    assert contents(destination_database) == contents(source_database)


def test_our_sessions_read_a_null_in_an_array_whatever_the_database_says(source_database: str) -> None:
    with connect(source_database) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set array_nulls = off").format(name))
    with ReadSession.open(source_database, side="source", application="migrator-test") as session:
        assert session.value("select '{NULL}'::text[]") == [None]


def contents(url: str) -> Any:
    with connect(url) as connection:
        return connection.execute(
            "select id, length(data), md5(data) from t.large"
            " union all select id, length(data), md5(data) from t.large_text order by 1, 2"
        ).fetchall()
