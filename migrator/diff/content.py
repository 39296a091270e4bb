"""The content of a table as numbers and texts that are the same on any two versions.

A row is its columns in the order of their names, as text under the settings that every session of ours
has. The sum of its rows' hashes tells nothing of their order, which collations and files decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.catalog import label
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from migrator.diff.snapshots import Reader
    from migrator.pg.session import ReadSession

# Catalogs as the snapshot sees them: what was altered since is told by the file, which the server knows.
TABLES = """
select n.nspname as schema,
       c.relname as name,
       c.oid,
       c.relfilenode::bigint as file,
       c.relpages::bigint as pages,
       array(
           select a.attname::text
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
           order by a.attname collate "C"
       ) as columns,
       array(
           select a.attname::text
           from pg_catalog.pg_attribute a
           where a.attrelid = c.oid
             and a.attnum > 0
             and not a.attisdropped
             and a.atttypid in ('float4'::pg_catalog.regtype, 'float8'::pg_catalog.regtype)
       ) as floats,
       array(
           select a.attname::text
           from pg_catalog.pg_index i
           cross join lateral unnest(i.indkey::int[]) with ordinality as k (number, place)
           join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.number
           where i.indrelid = c.oid and i.indisprimary
           order by k.place
       ) as key
from unnest(%s::text[], %s::text[]) as t (schema, name)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
"""
FILE = "select coalesce(pg_catalog.pg_relation_filenode(%s::oid), 0)::bigint"
UTF8 = "pg_catalog.encode(pg_catalog.convert_to({}, 'UTF8'), 'hex')"
FLOAT = "pg_catalog.encode(pg_catalog.float8send({}::float8), 'hex')"
ENCODING = "select pg_catalog.current_setting('server_encoding')"
# What both must hash to the same: hash functions are the server's own.
TRIAL = "select {hash}::text from (values ('a row, ''quoted'' (1,2)')) as t (line)"

# The hash functions, by preference, each with what must have the feature that it needs. Sums are decimal
# and never overflow.
EXTENDED = 'pg_catalog.hashtextextended({text} collate "C", 0)'
DIGEST = "('x' || pg_catalog.substr(pg_catalog.md5({text}), 1, 16))::bit(64)::bigint"

SUM = """
select count(*) as rows, coalesce(sum({hash}::numeric), 0)::text as digest
from (select t.r::text as line from (select {row} as r from only {table}) t) t
"""
# The two steps to the rows that differ: which parts do, and what is in them.
PARTS = """
select {part} as part, count(*) as rows, sum({hash}::numeric)::text as digest
from (select t.r::text as line, t.k::text as key from (select {row} as r, {key} as k from only {table}) t) t
group by 1
"""
ROWS = """
select left(key, {width}) as key, {hash}::text as hash
from (select t.r::text as line, t.k::text as key from (select {row} as r, {key} as k from only {table}) t) t
where {part} = any ({parts})
limit {limit}
"""
PART = "(({hash} % 1024 + 1024) % 1024)"
WIDTH = 200


@dataclass(frozen=True)
class Content:
    """A table as one side's snapshot sees it; ``file`` is another one when it was rewritten."""

    schema: str
    name: str
    oid: int
    file: int
    pages: int
    columns: tuple[str, ...]
    floats: tuple[str, ...]
    key: tuple[str, ...]

    @property
    def label(self) -> str:
        """Return the table's name for people."""
        return label(self.schema, self.name)

    def is_rewritten(self, session: ReadSession) -> bool:
        """Return whether it was truncated, dropped or rewritten since: the snapshot cannot read it then."""
        return int(session.value(FILE, [self.oid]) or 0) != self.file


def contents(session: ReadSession, tables: list[tuple[str, str]]) -> dict[tuple[str, str], Content]:
    """Return those of the tables that the session's snapshot has, by schema and name."""
    rows = session.rows(TABLES, [[t[0] for t in tables], [t[1] for t in tables]])
    return {
        (r.schema, r.name): Content(
            r.schema, r.name, r.oid, r.file, r.pages, tuple(r.columns), tuple(r.floats), tuple(r.key)
        )
        for r in rows
    }


class Language:
    """How to ask both sides so that equal rows give equal answers."""

    def __init__(self, both: Reader) -> None:
        versions = [session.version for session in both]
        # Before 12 floating-point numbers were printed by another rule; scalars are compared as bytes then,
        # what is inside of other types to 15 digits.
        self.plain_floats = not all(has(v, Feature.SHORTEST_FLOATS) for v in versions)
        if self.plain_floats:
            both.set("extra_float_digits", "0")
        encodings = {session.value(ENCODING) for session in both}
        self._text = "{}" if len(encodings) == 1 else UTF8
        extended = all(has(v, Feature.EXTENDED_HASHES) for v in versions) and _is_common(both, EXTENDED)
        self._hash = EXTENDED if extended else DIGEST

    def total(self, table: Content) -> sql.Composed:
        """Return the question for count and digest."""
        return self._compose(SUM, table)

    def parts(self, table: Content) -> sql.Composed:
        """Return the question for count and digest of 1024 parts of the keys."""
        return self._compose(PARTS, table)

    def rows(self, table: Content, parts: list[int], limit: int) -> sql.Composed:
        """Return the question for the rows of some parts, by key and hash."""
        return self._compose(
            ROWS, table, parts=sql.Literal(parts), limit=sql.Literal(limit), width=sql.Literal(WIDTH)
        )

    def _compose(self, question: str, table: Content, **more: sql.Composable) -> sql.Composed:
        row = sql.SQL("row({})").format(sql.SQL(", ").join(self._column(table, c) for c in table.columns))
        key = sql.SQL("row({})").format(sql.SQL(", ").join(map(sql.Identifier, table.key)))
        return sql.SQL(question).format(
            hash=sql.SQL(self._hashed("line")),
            part=sql.SQL(PART.format(hash=self._hashed("key"))),
            row=row,
            key=key if table.key else row,
            table=sql.Identifier(table.schema, table.name),
            **more,
        )

    def _hashed(self, text: str) -> str:
        return self._hash.format(text=self._text.format(text))

    def _column(self, table: Content, name: str) -> sql.Composable:
        if self.plain_floats and name in table.floats:
            return sql.SQL(FLOAT).format(sql.Identifier(name))
        return sql.Identifier(name)


def _is_common(both: Reader, hashed: str) -> bool:
    query = TRIAL.format(hash=hashed.format(text="line"))
    return len({session.value(query) for session in both}) == 1
