"""What is asked of a table's rows, on both sides in the same words: sums, buckets, hashes, rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from migrator.diff.content import Content
    from migrator.diff.row_hash import Expressions, RowHash

    Question = Callable[[Content], sql.Composed]

# Sums are decimal and never overflow.
TOTAL = """
select 0 as bucket, count(*) as rows, coalesce(sum({hash}), 0)::text as digest
from only {table} t
where {where}
"""
# Rows whose keys hash alike are in one bucket on both sides, wherever in the file.
BUCKETS = """
select ({key} & {mask})::int as bucket, count(*) as rows, sum({hash})::text as digest
from only {table} t
where {where}
group by 1
"""
ROWS = """
select {texts} as key, {hash} as hash, count(*) as copies
from only {table} t
where {where} and ({key} & {mask})::int = any ({buckets})
group by 1, 2
"""
# Rows as they are now: by their keys, or where there is none by their hashes.
BY_KEY = """
select w.number::int as number, t.xmin::text as xmin, {values} as values, 1 as copies
from unnest({keys}) with ordinality as w ({names}, number)
join {table} t on {same}
"""
BY_HASH = """
select w.number::int as number, t.xmin::text as xmin, t.values, t.copies
from (select {hash} as hash, t.xmin::text as xmin, {values} as values, count(*)::int as copies
      from {table} t
      where {hash} = any ({hashes})
      group by 1, 2, 3) t
join unnest({hashes}) with ordinality as w (hash, number) on w.hash = t.hash
"""
EVERYWHERE = sql.SQL("true")
# By its key such a row is not found again, whatever a look at it were to tell.
NULL_KEY = "a key is null where a constraint forbids it: reindex it, and mend what the server refuses"


def has_null(identities: Iterable[tuple[str | None, ...]]) -> bool:
    """Return whether a suspect's key lacks a value, which only a constraint that is broken lets in."""
    return any(None in identity for identity in identities)


@dataclass(frozen=True)
class Questions:
    """The questions about one table that both sides have, by ``key``; about whole rows where it is empty."""

    key: tuple[str, ...]
    asked: Expressions

    @classmethod
    def about(cls, language: RowHash, one: Content, other: Content) -> Questions:
        """Return the questions about a table whose columns are the same on both sides."""
        parts = [c for c in (*one.columns, *other.columns) if c.name in one.key]
        key = one.key if one.key == other.key and language.is_readable(parts) else ()
        return cls(key, language.expressions(one, other, key))

    def total(self, table: Content, where: sql.Composable | None = None) -> sql.Composed:
        """Ask for count and digest, as the only bucket."""
        return self._compose(TOTAL, table, where=where or EVERYWHERE)

    def buckets(self, table: Content, count: int, where: sql.Composable | None = None) -> sql.Composed:
        """Ask for count and digest of each of ``count`` buckets, a power of two."""
        return self._compose(BUCKETS, table, where=where or EVERYWHERE, mask=sql.Literal(count - 1))

    def rows(
        self,
        table: Content,
        count: int,
        buckets: Collection[int],
        where: sql.Composable | None = None,
    ) -> sql.Composed:
        """Ask for key, hash and number of the rows in some of ``count`` buckets."""
        return self._compose(
            ROWS,
            table,
            where=where or EVERYWHERE,
            mask=sql.Literal(count - 1),
            buckets=sql.Literal(list(buckets)),
            texts=self.asked.key_texts,
        )

    def now(
        self, table: Content, wanted: list[tuple[str, ...]], *, values: sql.Composed | None = None
    ) -> sql.Composed:
        """Ask for rows as they are: ``wanted`` by their keys' texts, or by their hashes.

        ``values`` are an array of other texts than those that rows are compared by.
        """
        more = {"table": readable(table), "values": values or self.asked.values}
        if not self.key:
            hashes = sql.SQL("{}::bigint[]").format(sql.Literal([hashed for (hashed,) in wanted]))
            return sql.SQL(BY_HASH).format(hash=self.asked.row, hashes=hashes, **more)
        columns = {c.name: c for c in table.columns}
        names = [sql.Identifier(f"k{number}") for number in range(len(self.key))]
        keys = [
            sql.SQL("{}::text[]").format(sql.Literal([key[number] for key in wanted]))
            for number in range(len(self.key))
        ]
        same = [
            sql.SQL(
                "t.{column} = w.{name}::{type}"
                if columns[column].plain
                else "pg_catalog.concat(t.{column}) = w.{name}"
            ).format(column=sql.Identifier(column), name=name, type=sql.SQL(columns[column].type))
            for column, name in zip(self.key, names, strict=True)
        ]
        return sql.SQL(BY_KEY).format(
            keys=sql.SQL(", ").join(keys),
            names=sql.SQL(", ").join(names),
            same=sql.SQL(" and ").join(same),
            **more,
        )

    def _compose(self, question: str, table: Content, **more: sql.Composable) -> sql.Composed:
        known = {"hash": self.asked.row, "key": self.asked.key, "table": table.identifier}
        return sql.SQL(question).format(**known, **more)


def readable(table: Content) -> sql.Composable:
    """Return the table with all its partitions, but without tables that inherit from it."""
    return table.identifier if table.members else sql.SQL("only {}").format(table.identifier)
