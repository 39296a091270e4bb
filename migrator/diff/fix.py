"""Write the SQL that would make proven rows of the side that follows what they are on the one that serves."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.diff.questions import readable
from migrator.diff.row_hash import PRINTING
from migrator.diff.ways import PADDED
from migrator.pg.session import PINNED

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from migrator.diff.content import Content
    from migrator.diff.run import Difference
    from migrator.diff.units import Pair
    from migrator.pg.session import ReadSession

LITERAL = "pg_catalog.quote_nullable({}::text)"
# What the output function writes, trailing blanks too; a row of nulls is no null.
WRITTEN = "pg_catalog.quote_nullable(case when {0} is distinct from null then pg_catalog.concat({0}) end)"
INSERT = "insert into {table} ({columns}) overriding system value values ({values})"
INSERT_NOTHING = "insert into {table} default values"
SAME = "{} = {}"
# The operators of an extension's type are in its schema, and a composite has none for a text.
SAME_WRITTEN = "pg_catalog.concat({}) = {}"
DELETE = "delete from {table} where {same}"
DIGITS = "select pg_catalog.set_config('extra_float_digits', %s, false)"
DIGITS_NOW = "select pg_catalog.current_setting('extra_float_digits')"
AT_ONCE = 100
# Without a terminal psql would take the file to be in the server's encoding.
BEGIN = """\\set ON_ERROR_STOP on
\\encoding UTF8
begin read write;
-- No trigger is set off, no fence holds this transaction, and no foreign key is checked.
set local session_replication_role = replica;
"""
# What literals are read by, and what keys and hashes are printed by.
READ_BY = (*PRINTING, "standard_conforming_strings", "array_nulls")

# A row as the literals of its columns, in the order of ``columns``.
Image = tuple[str, ...]


def script(side: str, statements: Sequence[str], passing: tuple[str, str] = ("", "")) -> str:
    """Return statements as a script for psql on that side; without any, one that says so.

    ``passing`` is what comes first and last so that a fence lets it through.
    """
    if not statements:
        return "-- No row is proven different.\n"
    said = (
        f"-- For the {side}, by a superuser: makes the rows that were proven different what they are on the\n"
        "-- other side. Look at them first; rows may have changed since.\n"
    )
    lowering, raising = passing
    return said + head() + lowering + "".join(f"{s}\n" for s in statements) + raising + "commit;\n"


def head() -> str:
    """Return how a script for psql begins: by its encoding, and what the rows in it were printed by."""
    pins = [(sql.Identifier(name.lower()), sql.Literal(PINNED[name])) for name in READ_BY]
    return BEGIN + "".join(sql.SQL("set local {} = {};\n").format(*pin).as_string() for pin in pins)


def one_line(label: str) -> str:
    """Return a name as a script's comment can have it: what is behind a line's end would be executed."""
    return " ".join(label.split())


def statements(serving: ReadSession, pair: Pair, differences: Sequence[Difference]) -> list[str]:
    """Return what would bring the rows; they are read once more where they are served."""
    if not pair.asked.key:
        label = one_line(pair.label)
        return [f"-- {label} has no key to tell its rows apart by: it can only be copied again."]
    # What is removed first leaves its unique values to others. Each once: keys that are one to the key's own
    # operator lead to one row.
    away, written = dict[str, None](), dict[str, None]()
    for begin in range(0, len(differences), AT_ONCE):
        some = differences[begin : begin + AT_ONCE]
        with exact(serving):
            asked = pair.asked.now(pair.one, [d.key for d in some], values=image(pair, pair.one))
            rows = [row.values for row in serving.rows(asked)]
        for into, composed in (
            (away, [deletion(pair, difference.key) for difference in some]),
            (written, [insertion(pair, values) for values in rows]),
        ):
            into.update(dict.fromkeys(f"{one.as_string(serving.connection)};" for one in composed))
    return [*away, *written]


def columns(pair: Pair) -> list[str]:
    """Return the columns that are written: those that the side that follows does not generate itself."""
    return [c.name for c in pair.other.columns if not c.generated]


def image(pair: Pair, table: Content) -> sql.Composed:
    """Return a row of one of the pair's tables as an array of its columns' literals."""
    there = {c.name: c for c in table.columns}
    values = [
        sql.SQL(LITERAL if there[name].plain and there[name].oid != PADDED else WRITTEN).format(
            sql.Identifier("t", name)
        )
        for name in columns(pair)
    ]
    return sql.SQL("array[{}]::text[]").format(sql.SQL(", ").join(values))


def insertion(pair: Pair, literals: Sequence[str]) -> sql.Composed:
    """Return the statement that writes a row on the side that follows."""
    join = sql.SQL(", ").join
    return sql.SQL(INSERT if literals else INSERT_NOTHING).format(
        table=pair.other.identifier,
        columns=join([sql.Identifier(name) for name in columns(pair)]),
        values=join([sql.SQL(text) for text in literals]),
    )


def deletion(pair: Pair, key: Sequence[str]) -> sql.Composed:
    """Return the statement that removes the row of a key on the side that follows."""
    plain = {c.name for c in pair.other.columns if c.plain}
    same = [
        sql.SQL(SAME if name in plain else SAME_WRITTEN).format(sql.Identifier(name), sql.Literal(value))
        for name, value in zip(pair.asked.key, key, strict=True)
    ]
    return sql.SQL(DELETE).format(table=readable(pair.other), same=sql.SQL(" and ").join(same))


@contextmanager
def exact(session: ReadSession) -> Iterator[None]:
    """Have the session print floating-point numbers so that they are read back as they were.

    Rows are compared by fewer digits where the sides have not one rule to print them by.
    """
    before = session.value(DIGITS_NOW)
    session.execute(DIGITS, ["3"])
    try:
        yield
    finally:
        if session.is_open:
            session.execute(DIGITS, [before])
