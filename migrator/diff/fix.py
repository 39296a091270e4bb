"""Write the SQL that would make proven rows of the side that follows what they are on the one that serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.diff.questions import readable
from migrator.diff.row_hash import PADDED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.diff.run import Difference
    from migrator.diff.units import Pair
    from migrator.pg.session import ReadSession

LITERAL = "pg_catalog.quote_nullable({}::text)"
# What the output function writes, trailing blanks too; a row of nulls is no null.
WRITTEN = "pg_catalog.quote_nullable(case when {0} is distinct from null then pg_catalog.concat({0}) end)"
INSERT = "insert into {table} ({columns}) overriding system value values ({values})"
DELETE = "delete from {table} where {same}"
AT_ONCE = 100


def script(side: str, statements: Sequence[str]) -> str:
    """Return statements as a script for psql on that side; without any, one that says so."""
    if not statements:
        return "-- No row is proven different.\n"
    head = (
        f"-- For the {side}, by a superuser: makes the rows that were proven different what they are on the\n"
        "-- other side. Look at them first; rows may have changed since.\n"
        "\\set ON_ERROR_STOP on\n"
        "begin read write;\n"
        "-- No trigger is set off, no fence holds, and no foreign key is checked.\n"
        "set local session_replication_role = replica;\n"
        "set local search_path = '';\n"
    )
    return head + "".join(f"{statement}\n" for statement in statements) + "commit;\n"


def statements(serving: ReadSession, pair: Pair, differences: Sequence[Difference]) -> list[str]:
    """Return what would bring the rows; they are read once more where they are served."""
    if not pair.asked.key:
        return [f"-- {pair.label} has no key to tell its rows apart by: it can only be copied again."]
    stored = [c for c in pair.one.columns if not c.generated]
    values = [
        sql.SQL(LITERAL if c.plain and c.oid != PADDED else WRITTEN).format(sql.Identifier("t", c.name))
        for c in stored
    ]
    texts = sql.SQL("array[{}]::text[]").format(sql.SQL(", ").join(values))
    names = [sql.Identifier(c.name) for c in stored]
    key = [sql.Identifier(name) for name in pair.asked.key]
    join = sql.SQL(", ").join
    found: list[str] = []
    for begin in range(0, len(differences), AT_ONCE):
        some = differences[begin : begin + AT_ONCE]
        rows = {
            row.number: row.values
            for row in serving.rows(pair.asked.now(pair.one, [d.key for d in some], values=texts))
        }
        for number, difference in enumerate(some, 1):
            same = [
                sql.SQL("{} = {}").format(name, sql.Literal(value))
                for name, value in zip(key, difference.key, strict=True)
            ]
            both = [sql.SQL(DELETE).format(table=readable(pair.other), same=sql.SQL(" and ").join(same))]
            if number in rows:
                literals = join(sql.SQL(text) for text in rows[number])
                both.append(
                    sql.SQL(INSERT).format(table=pair.other.identifier, columns=join(names), values=literals)
                )
            found += [f"{statement.as_string(serving.connection)};" for statement in both]
    return found
