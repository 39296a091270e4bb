"""What has fooled others: rows that are the same and look otherwise, and rows that differ and look alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from migrator.data_diff import Options, diff_databases
from migrator.diff import hash_functions, units
from migrator.pg.versions import SINCE, Feature, has
from migrator.render.diff import data_diff
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from migrator.report_diff import DataDiffReport, TableDifference

# The same rows, and nothing else is the same: encoding, settings, columns' order, dropped columns, object
# ids, partitions, collations.
SOURCE = """
create type state as enum ('old', 'new');
create table dropped (a int, gone text, b text, id int primary key, also_gone int);
insert into dropped select g, 'x', 'b' || g, g, 1 from generate_series(1, 100) g;
alter table dropped drop column gone, drop column also_gone;
create table ordered (id int primary key, c state, b float8, a text);
create table listed (id int, s state, primary key (id, s)) partition by list (s);
create table listed_old partition of listed for values in ('old');
create table listed_new partition of listed for values in ('new');
create table hashed (s state primary key, n int) partition by hash (s);
create table hashed_0 partition of hashed for values with (modulus 2, remainder 0);
create table hashed_1 partition of hashed for values with (modulus 2, remainder 1);
create table odd (id int primary key, t text collate "POSIX", fixed char(8) collate "POSIX");
"""
DESTINATION = """
create type filler as enum ('x', 'y', 'z');
create type state as enum ('new');
alter type state add value 'old' before 'new';
create table dropped (id int primary key, b text, a int);
insert into dropped select g, 'b' || g, g from generate_series(100, 1, -1) g;
create table ordered (a text, b float8, c state, id int primary key);
create table listed (s state, id int, primary key (id, s)) partition by range (id);
create table listed_1 partition of listed for values from (minvalue) to (2);
create table listed_2 partition of listed for values from (2) to (maxvalue);
create table hashed (n int, s state primary key) partition by hash (s);
create table hashed_0 partition of hashed for values with (modulus 3, remainder 0);
create table hashed_1 partition of hashed for values with (modulus 3, remainder 1);
create table hashed_2 partition of hashed for values with (modulus 3, remainder 2);
create table odd (id int primary key, t text, fixed char(8));
"""
ROWS = """
insert into ordered (id, a, b, c)
select g, chr(191 + g % 64), g * 0.1, (enum_range(null::state))[1 + g % 2] from generate_series(1, 100) g;
insert into listed (id, s) values (1, 'old'), (1, 'new'), (2, 'old'), (3, 'new');
insert into hashed (s, n) values ('old', 1), ('new', 2);
insert into odd (id, t, fixed) values (1, 'a', 'a'), (2, 'A', 'A'), (3, 'é', 'é'), (4, 'e', 'e');
"""
SETTINGS = {
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Asia/Tokyo",
    "extra_float_digits": "-3",
    "bytea_output": "escape",
    "client_encoding": "LATIN1",
    "search_path": "pg_temp",
    "standard_conforming_strings": "off",
}
# What is changed on the destination alone, and which rows must be told.
TRAPS = {
    "two rows change their values": (
        "update ordered o set a = p.a from ordered p where o.id + p.id = 7 and o.id in (3, 4)",
        {"ordered": {"3", "4"}},
    ),
    "two columns would, in one row": (
        "update dropped set a = 77, b = 'b7' where id = 7",
        {"dropped": {"7"}},
    ),
    "a row beyond all keys of the source": (
        "insert into dropped (id) values (2147483647), (-2147483648)",
        {"dropped": {"2147483647", "-2147483648"}},
    ),
    "another label, of the same place": (
        "update ordered set c = case c when 'old' then 'new'::state else 'old' end where id = 9",
        {"ordered": {"9"}},
    ),
    "what a blind collation would call equal": (
        "update odd set t = 'A' where id = 1; update odd set fixed = 'É' where id = 3",
        {"odd": {"1", "3"}},
    ),
    "a key that changes": (
        "update dropped set id = 1000 where id = 50",
        {"dropped": {"50", "1000"}},
    ),
    "a row that is in another partition": (
        "update listed set id = 2 where id = 1 and s = 'new'",
        {"listed": {"1, new", "2, new"}},
    ),
    "the last bit of a number": (
        "update ordered set b = b + 2e-16 where id = 1",
        {"ordered": {"1"}},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def unlike(source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer) -> Iterator[tuple[str, str]]:
    """Two databases with the same rows and nothing else in common."""
    source = source_cluster.create_database(
        "traps", encoding="LATIN1", template="template0", lc_collate="C", lc_ctype="C"
    )
    destination = destination_cluster.create_database("traps")
    for url, schema in ((source, SOURCE), (destination, DESTINATION)):
        with connect(url, client_encoding="utf8") as connection:
            connection.execute((schema + ROWS).encode())
    with connect(destination) as connection:
        for name, value in SETTINGS.items():
            connection.execute(
                sql.SQL("alter database traps set {} = {}").format(sql.Identifier(name), sql.Literal(value))
            )
    yield source, destination
    for server in (source_cluster, destination_cluster):
        server.drop_database("traps")


def diff(both: tuple[str, str], *patterns: str) -> DataDiffReport:
    return diff_databases(*both, lambda _event: None, Options(patterns, jobs=2, rows=50))


def told(table: TableDifference) -> set[str]:
    return {", ".join(row.key.values()) for row in table.rows}


@pytest.mark.parametrize(
    "older", [(), (hash_functions.RECORD,), (hash_functions.RECORD, hash_functions.EXTENDED)]
)
def test_the_same_rows_are_equal_however_they_are_kept_and_each_trap_is_told(
    older: tuple[str, ...], unlike: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in older:
        monkeypatch.setitem(hash_functions.TRIALS, function, "pg_catalog.version()")
    report = diff(unlike)
    assert (report.verdict, {t.table: t.verdict for t in report.tables if t.verdict != "equal"}) == (
        "equal",
        {},
    )
    for trap, (statement, rows) in TRAPS.items():
        with connect(unlike[1], client_encoding="utf8", options="-c search_path=public") as spoiler:
            with spoiler.transaction():
                spoiler.execute(statement.encode())
            found = {
                t.table.removeprefix("public."): told(t) for t in diff(unlike).tables if t.verdict != "equal"
            }
            restore(spoiler, unlike[0], *rows)
        assert found == rows, trap
    assert diff(unlike).verdict == "equal"


def restore(spoiler: Any, source: str, *tables: str) -> None:
    """Make the tables what the source has."""
    with connect(source, client_encoding="utf8") as connection, spoiler.transaction():
        for table in tables:
            names = {
                "dropped": "id, a, b",
                "ordered": "id, a, b, c",
                "listed": "id, s",
                "odd": "id, t, fixed",
            }
            spoiler.execute(f"delete from {table}")
            with (
                connection.cursor().copy(f"copy (select {names[table]} from {table}) to stdout") as rows,
                spoiler.cursor().copy(f"copy {table} ({names[table]}) from stdin") as copy,
            ):
                for block in rows:
                    copy.write(block)


def test_a_value_of_many_megabytes_is_compared_by_its_last_byte(
    source_database: str, destination_database: str
) -> None:
    for number, url in enumerate((source_database, destination_database)):
        with connect(url) as connection:
            connection.execute("create table big (id int primary key, raw bytea, t text)")
            connection.execute(
                "insert into big select g, decode(repeat('ab', 50000000) || %s, 'hex'), repeat('x', 1000000)"
                " from generate_series(1, 2) g",
                ["00" if number == 0 else "01"],
            )
            connection.execute("update big set raw = '\\x00' where id = 2")
    report = diff((source_database, destination_database))
    (table,) = report.tables
    assert (table.verdict, told(table)) == ("different", {"1"})
    (row,) = table.rows
    assert [column[0] for column in row.columns] == ["raw"]
    assert all(len(str(value)) < 300 for value in row.columns[0])


def test_a_thousand_columns_are_compared_on_the_smallest_stack(
    source_database: str, destination_database: str
) -> None:
    columns = ", ".join(f"c{n} {('int', 'text', 'numeric', 'date')[n % 4]}" for n in range(1500))
    for url in (source_database, destination_database):
        with connect(url) as connection:
            connection.execute(f"create table wide (id int primary key, {columns})")
            connection.execute("insert into wide (id, c0, c1499) values (1, 1, null), (2, 2, '2020-01-01')")
            name = sql.Identifier(connection.info.dbname)
            connection.execute(sql.SQL("alter database {} set max_stack_depth = '100kB'").format(name))
    both = (source_database, destination_database)
    assert diff(both).verdict == "equal"
    with connect(destination_database) as connection:
        connection.execute("update wide set c1499 = '2020-01-02' where id = 2")
    (table,) = diff(both).tables
    assert (table.verdict, told(table)) == ("different", {"2"})


def test_columns_that_all_change_alike_do_not_cancel_out(
    source_database: str, destination_database: str
) -> None:
    columns = ", ".join(f"c{n} int not null default 0" for n in range(1200))
    for url, value in ((source_database, 0), (destination_database, 1)):
        with connect(url) as connection:
            connection.execute(f"create table alike (id int primary key, {columns})")
            connection.execute("insert into alike (id) values (1), (2)")
            changed = ", ".join(f"c{n} = {value}" for n in range(1200))
            connection.execute(f"update alike set {changed} where id = 2")
    (table,) = diff((source_database, destination_database)).tables
    assert (table.verdict, told(table)) == ("different", {"2"})


def test_a_null_where_none_may_be_hides_no_row(source_database: str, destination_database: str) -> None:
    both = (source_database, destination_database)
    # As a constraint that nobody has validated leaves it.
    forbid = "update pg_attribute set attnotnull = true where attrelid = 'strict'::regclass and attname = 'a'"
    for url in both:
        with connect(url) as connection:
            connection.execute("create table strict (id int primary key, a int, b text)")
            connection.execute("insert into strict values (1, null, 'x'), (2, 2, 'x')")
            connection.execute(forbid)
    assert diff(both).verdict == "equal"
    with connect(destination_database) as connection:
        connection.execute(forbid.replace("= true", "= false"))
        connection.execute("update strict set b = 'y' where id = 1")
        connection.execute(forbid)
    (table,) = diff(both).tables
    assert (table.verdict, told(table)) == ("different", {"1"})


def test_numbers_inside_of_values_are_compared_to_their_last_bit_with_a_server_before_12(
    source_database: str, destination_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SINCE, Feature.SHORTEST_FLOATS, 990000)
    both = (source_database, destination_database)
    numbers = {
        "f8": "array[{}, null]::float8[]",
        "p": "point({}, 0)",
        "c": "circle(point(1, 1), {})",
        "b": "array[box(point({}, 1), point(0, 0))]",
        "f4": "array[0.1, 'NaN']::float4[]",
        "none": "null::float8[]",
    }
    row = ", ".join(f"{value} as {name}" for name, value in numbers.items()).replace("{}", "0.3")
    for url in both:
        with connect(url) as connection:
            connection.execute(f"create table inside as select id, {row} from generate_series(1, 7) id")
            connection.execute("alter table inside add primary key (id)")
    assert diff(both).verdict == "equal"
    with connect(destination_database) as connection:
        for number, name in enumerate(("f8", "p", "c", "b"), 1):
            value = numbers[name].format("0.30000000000000004")
            connection.execute(f"update inside set {name} = {value} where id = {number}")
        connection.execute("update inside set none = '{}' where id = 5")
    (table,) = diff(both).tables
    assert (table.verdict, told(table)) == ("different", {"1", "2", "3", "4", "5"})


def test_a_null_in_a_key_that_nobody_has_validated_is_a_row_as_any_other(
    source_database: str, destination_database: str
) -> None:
    both = (source_database, destination_database)
    for url in both:
        with connect(url) as connection:
            connection.execute("create table mostly (a int unique, b int); insert into mostly values (1, 1)")
    with connect(source_database) as connection:
        connection.execute("alter table mostly alter a set not null")
    with connect(destination_database) as connection:
        connection.execute("insert into mostly values (null, 3)")
        if has(connection.info.server_version, Feature.NAMED_NOT_NULL):
            connection.execute("alter table mostly add not null a not valid")
    (table,) = diff(both).tables
    assert (table.verdict, table.different, table.destination) == ("different", 1, 2)


def test_a_null_in_a_key_that_is_broken_is_never_called_equal(
    source_database: str, destination_database: str
) -> None:
    both = (source_database, destination_database)
    for url, value in zip(both, (1, 2), strict=True):
        with connect(url) as connection:
            connection.execute("create table broken (a int unique, b int)")
            connection.execute("insert into broken values (null, %s)", [value])
            connection.execute(
                "update pg_attribute set attnotnull = true"
                " where attrelid = 'broken'::regclass and attname = 'a'"
            )
    report = diff(both)
    assert (report.tables[0].verdict, report.exit_code) == ("not_compared", 5)


def test_equal_rows_without_a_key_are_counted_over_all_slices(
    source_database: str, destination_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(units, "WHOLE", 0)
    monkeypatch.setattr(units, "PIECE", 1)
    for url, copies in ((source_database, 2), (destination_database, 3)):
        with connect(url) as connection:
            connection.execute("create table bag (t text)")
            connection.execute("insert into bag select 'same' from generate_series(1, %s)", [copies])
            connection.execute("insert into bag select repeat('x', 500) || g from generate_series(1, 50) g")
            connection.execute("insert into bag values ('same')")
            connection.execute("analyze bag")
    (table,) = diff((source_database, destination_database)).tables
    assert (table.verdict, table.different, table.source, table.destination) == ("different", 1, 53, 54)


def test_all_is_equal_only_where_nothing_is_left_out_unless_tables_are_named(
    source_database: str, destination_database: str
) -> None:
    both = (source_database, destination_database)
    for url in both:
        with connect(url) as connection:
            connection.execute("create table here (id int primary key)")
            connection.execute("create foreign data wrapper far; create server far foreign data wrapper far")
    assert diff(both).exit_code == 0
    with connect(destination_database) as connection:
        connection.execute("create foreign table there (id int) server far")
        connection.execute("create extension hstore; create table its as select 1 as id")
        connection.execute("alter extension hstore add table its")
        connection.execute("select lo_create(4711), lo_create(4712)")
    report = diff(both)
    left_out = {"foreign": 1, "extension": 1, "large_object": 2}
    assert (report.verdict, report.left_out, report.exit_code) == ("equal", left_out, 5)
    lines = data_diff(report)
    assert "  not compared: 1 table foreign: another server has the rows" in lines
    assert "  not compared: 2 large objects beside the tables" in lines
    assert diff(both, "*").exit_code == 0


BLIND = "create collation blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"


def test_what_a_blind_collation_calls_equal_is_told_apart(
    source_database: str, destination_database: str
) -> None:
    both = (source_database, destination_database)
    for number, url in enumerate(both):
        with connect(url) as connection:
            try:
                connection.execute(BLIND)
            except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError) as error:
                pytest.skip(f"needs servers of 12 or later that are built with ICU: {error}")
            connection.execute(
                "create table named (name text collate blind primary key, t text collate blind)"
            )
            rows = [("same", "same"), ("é", "x"), ("key", "é"), (("Other", "other")[number], "x")]
            connection.cursor().executemany("insert into named values (%s, %s)", rows)
    assert diff(both, "named").tables[0].different == 2
    with connect(destination_database) as connection:
        connection.execute("update named set t = 'e' where name = 'key'")
    (table,) = diff(both).tables
    assert (table.verdict, told(table)) == ("different", {"Other", "other", "key"})


# With the key before them, one less than are put into each other.
NEARLY_FIFTY = ", ".join(f"a{n:02} int not null" for n in range(48))
# What PostgreSQL's functions leave of a value: columns behind the key, the rows of either side.
LIKENESSES = {
    "weights that cancel in a row": ("a numeric(12, 2), b numeric(12, 2)", ["5, 1.5"], ["50000, 15000"]),
    "weights that are exchanged": ("a numeric(12, 2), b numeric(12, 2)", ["5, 15000"], ["50000, 1.5"]),
    "factors of ten thousand": (
        "n numeric(12, 2) not null", [f"{n}" for n in range(1, 9)], [f"{n}0000" for n in range(1, 9)]
    ),
    "two rows' factors": ("n numeric(12, 2) not null", ["1", "10000"], ["10000", "1"]),
    "no numbers and zeros": (
        "a numeric(12, 2) not null, b numeric(12, 2) not null", ["'NaN', 'NaN'"], ["0, 0"]
    ),
    "no number and zero in two rows": ("z numeric(12, 2) not null", ["0", "'NaN'"], ["'NaN'", "0"]),
    "nullable ones": ("a numeric(12, 2), b int, c numeric(12, 2)", ["'NaN', 1, 0"], ["0, 1, 'NaN'"]),
    "one of each": ("x numeric(12, 2), y numeric(12, 2) not null", ["5, 0"], ["50000, 'NaN'"]),
    "the first day": (
        "a date not null, b date not null", ["'4714-11-24 BC', '2020-1-1'"], ["'2020-1-1', '4714-11-24 BC'"]
    ),
    "zeros and nulls": (
        "a float8, b int, c float8, d float8", ["0, 1, null, null"], ["'-0', 1, '-0', '-0'"]
    ),
    "columns of two groups": (
        f"{NEARLY_FIFTY}, b int, c int not null, d int not null",
        [f"{'0, ' * 48}5, 0, 5"], [f"{'0, ' * 48}6, 0, 6"]
    ),
}  # fmt: skip


def test_values_that_leave_the_same_of_themselves_are_told_apart(
    source_database: str, destination_database: str
) -> None:
    both = (source_database, destination_database)
    for number, url in enumerate(both):
        with connect(url) as connection:
            for name, (columns, *sides) in LIKENESSES.items():
                connection.execute(f'create table "{name}" (" id" int primary key, {columns})')
                rows = ", ".join(f"({key}, {row})" for key, row in enumerate(sides[number]))
                connection.execute(f'insert into "{name}" values {rows}')
    equal = [t.table for t in diff(both).tables if t.verdict != "different"]
    assert equal == []


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_long_texts_are_the_same_in_any_encoding(
    encoding: str,
    source_cluster: EmbeddedServer,
    destination_database: str,
    new_database: Callable[..., str],
) -> None:
    other = {"encoding": encoding, "template": "template0", "lc_collate": "C", "lc_ctype": "C"}
    both = (new_database(source_cluster, **other), destination_database)
    for url in both:
        with connect(url, client_encoding="utf8") as connection:
            connection.execute("create table long (id int primary key, t text, n int)")
            rows = enumerate(("é" * 600, "aé" * 700, "a" + "é" * 700, "é"))
            connection.cursor().executemany("insert into long (id, t) values (%s, %s)", list(rows))
    assert diff(both).verdict == "equal"
    with connect(destination_database) as connection:
        connection.execute("update long set n = 1")
    (table,) = diff(both).tables
    assert {column[0] for row in table.rows for column in row.columns} == {"n"}
    assert table.different == 4
