"""Tables made at random are judged as a plain comparison of all their rows judges them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from migrator.data_diff import Options, diff_databases
from migrator.diff import scan, units
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection

# Types, each with texts of values that are easily taken for one another.
TYPES: dict[str, list[str | None]] = {
    "int": ["0", "-1", "2147483647", None],
    "bigint": ["0", "1", "4294967296", "4294967297", "-1", "9223372036854775807", None],
    "numeric": ["1.0", "1.00", "1", "NaN", "-1e20", None],
    "numeric(9, 2)": ["1.0", "1.01", "-1.0", "10000", "0", "NaN", None],
    "float8": ["0", "-0", "NaN", "0.1", "1e-300", "-Infinity", None],
    "float4": ["0", "-0", "0.1", "1e-40", None],
    "text": ["", "a", "A", "a ", "|", "null", '"', "\\", "é", "\u0065\u0301", None],
    "bpchar": ["a", "a ", "", None],
    "char(3)": ["a", "abc", "", None],
    "bytea": ["\\x", "\\x00", "\\x0000", None],
    "bool": ["true", "false", None],
    "smallint": ["0", "-1", "1", None],
    "date": ["2000-01-01", "4714-11-24 BC", "5874897-12-31", "infinity", "-infinity", None],
    "time": ["00:00", "01:11:34.967297", "24:00", None],
    "timestamp": ["2000-01-01 00:00", "2000-01-01 01:11:34.967297", "-infinity", "4714-11-24 00:00 BC", None],
    "interval": ["1 day", "24:00", "1 mon", "30 days", None],
    "timestamptz": [
        "2020-01-01 00:00:00.000001+00", "2020-01-01 00:00:00+00", "1969-12-31 23:59:59+00", "infinity",
        "2000-01-01 00:00+00", "2000-01-01 01:11:34.967297+00", "294276-12-31 23:59:59.999999+00",
        "294276-12-31 23:59:59.999998+00", None,
    ],
    "timetz": ["10:00+01", "09:00+00", None],
    "uuid": ["a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None],
    "pg_lsn": ["0/1", "1/0", "0/0", "1/1", None],
    "macaddr": ["08:00:2b:01:02:03", "08:00:2b:01:02:04", None],
    "inet": ["10.0.0.1", "10.0.0.1/8", "::1", None],
    "json": ['{"a":1}', '{"a": 1}', None],
    "jsonb": ['{"a": 1.0}', '{"a": 1.00}', "{}", "null", None],
    "text[]": ["{}", "{NULL}", "{null,a}", '{""}', "{{a},{b}}", None],
    "int4range": ["empty", "[1,2)", "(,)", None],
    "mood": ["sad", "happy", None],
    "two": ["(,)", "(1,)", '(,"")', None],
    "short": ["", "a", None],
}  # fmt: skip
MADE = {
    # The labels have other object ids, and the composite other ones.
    "source": "create type mood as enum ('sad', 'happy');",
    "destination": "create type filler as enum ('x', 'y', 'z'); create type mood as enum ('sad', 'happy');",
}
COMMON = "create type two as (x int, y text); create domain short as text;"
NAME = sql.Identifier('t "one" {}')


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], bool, list[list[Any]], list[list[Any]]]:
    """Return columns' types, whether there is a key before them, and the rows of both sides."""
    types = draw(st.lists(st.sampled_from(sorted(TYPES)), min_size=1, max_size=4))
    if draw(st.booleans()):
        types.append(types[0])
    keyed = draw(st.booleans())
    rows = st.tuples(*(st.sampled_from(TYPES[t]) for t in types)).map(list)
    here = [[str(n), *row] if keyed else row for n, row in enumerate(draw(st.lists(rows, max_size=25)))]
    there = [list(row) for row in here]
    for fresh in range(100, 100 + draw(st.integers(0, 3))):
        change = draw(st.sampled_from(("add", "remove", "change", "swap", "double")))
        place = draw(st.integers(0, max(len(there) - 1, 0)))
        if change == "add":
            there.append([str(fresh), *draw(rows)] if keyed else draw(rows))
        elif there and change == "remove":
            del there[place]
        elif there and change == "change":
            column = draw(st.integers(0, len(types) - 1))
            there[place][column + keyed] = draw(st.sampled_from(TYPES[types[column]]))
        elif there and change == "swap":
            row, first = there[place], int(keyed)
            if types[0] == types[-1]:
                row[first], row[-1] = row[-1], row[first]
        elif there and not keyed:
            there.append(list(there[place]))
    without_null = draw(st.booleans())
    columns = [
        f"{name} not null"
        if without_null and all(row[number + keyed] is not None for row in here + there)
        else name
        for number, name in enumerate(types)
    ]
    return columns, keyed, here, draw(st.permutations(there))


@pytest.fixture(scope="module")
def pair(source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer) -> Iterator[dict[str, str]]:
    """Two databases that all examples share."""
    servers = {"source": source_cluster, "destination": destination_cluster}
    urls = {side: server.create_database("diff tables") for side, server in servers.items()}
    for side, url in urls.items():
        with connect(url) as connection:
            connection.execute((MADE[side] + COMMON).encode())
    yield urls
    for server in servers.values():
        server.drop_database("diff tables")


def fill(connection: Connection, types: list[str], keyed: bool, rows: list[list[Any]]) -> list[Any]:
    """Make the table and return its rows as the server prints them."""
    names = [sql.Identifier(f"c{n}") for n in range(len(types))]
    columns = [sql.SQL("{} {}").format(n, sql.SQL(t)) for n, t in zip(names, types, strict=True)]  # type: ignore[arg-type]
    if keyed:
        columns.insert(0, sql.SQL("id bigint primary key"))
    join = sql.SQL(", ").join
    connection.execute(sql.SQL("drop table if exists {}").format(NAME))
    connection.execute(sql.SQL("create table {} ({})").format(NAME, join(columns)))
    if rows:
        places = sql.SQL("({})").format(join(sql.SQL("%s") for _ in rows[0]))
        query = sql.SQL("insert into {} values {}").format(NAME, join([places] * len(rows)))
        connection.execute(query, [value for row in rows for value in row])
    return connection.execute(sql.SQL("select t::text from {} t").format(NAME)).fetchall()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(made=tables(), small=st.booleans())
def test_the_verdict_is_that_of_a_plain_comparison(pair: dict[str, str], made: Any, small: bool) -> None:
    types, keyed, here, there = made
    with pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(units, "WHOLE", 0)
            patch.setattr(units, "PIECE", 1)
            patch.setattr(scan, "PER_BUCKET", 2)
        with (
            connect(pair["source"]) as one,
            connect(pair["destination"], options="-c DateStyle=German") as two,
        ):
            two.execute("set extra_float_digits = 3; set datestyle = iso")
            mine = fill(one, types, keyed, here)
            theirs = fill(two, types, keyed, there)
        report = diff_databases(
            pair["source"], pair["destination"], lambda _event: None, Options(jobs=2, rows=100)
        )
    (table,) = report.tables
    left = (Counter(mine) - Counter(theirs)) + (Counter(theirs) - Counter(mine))
    assert table.verdict == ("different" if left else "equal"), (made, report)
    ids = {row[0] for row in here if row not in there} | {row[0] for row in there if row not in here}
    if keyed:
        assert {row.key["id"] for row in table.rows} == ids
        assert table.different == len(ids)
    else:
        assert table.different == len(left)
