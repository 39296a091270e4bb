"""The rows of a table as numbers and texts that are the same on any two servers where the rows are.

A row is its columns in the order of their names. Its hash is by the best function that both servers have and
agree upon: equal rows have equal hashes, whatever the versions, encodings, object ids, layouts. The sum of a
table's hashes tells nothing of the rows' order, which collations and files decide. A hash that differs is a
suspicion only; the verdict is on values.

At best every column is hashed by its type's own function, seeded by the hash of the columns before: that
costs less than half of what a record's hash does, and less than a tenth of a text's. A column is hashed as
it is where its type calls equal only what prints alike; others go as their text: enums (their hash is an
object id), intervals, numerics without a scale and JSON (1.0 is 1.00), types without such a function,
everything that is not PostgreSQL's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.diff.hash_chain import DEPTH, chain, exclusive_or, mark
from migrator.diff.hash_functions import (
    DIGEST,
    EXTENDED,
    FLOAT_HASH,
    FUNCTIONS,
    MIXED,
    RECORD,
    TEXT_HASH,
    TRIALS,
)
from migrator.diff.ways import BYTES, FLOATS_INSIDE, Way, way
from migrator.errors import Unreachable
from migrator.pg.session import PINNED
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from migrator.diff.content import Column, Content
    from migrator.diff.snapshots import Reader

# Texts are hashed in one encoding where the servers' are not the same.
UTF8 = "pg_catalog.convert_to({}, 'UTF8')"
HEX = "pg_catalog.encode({}, 'hex')"
# Every bit but those of a NaN, of which there are many that print alike.
FLOAT = "case when {0} = 'NaN' then '\\x'::bytea else pg_catalog.float8send({0}::float8) end"
FLOATS = """
case when pg_catalog.strpos({0}::text, 'NaN') > 0 then {0}::text
     else pg_catalog.encode(pg_catalog.{send}({0}), 'hex')
end
"""
# All digits, by the same rule on every version.
EXACT_FLOAT = """
case when {0} in ('NaN', 'Infinity', '-Infinity') then {0}::text
     else pg_catalog.btrim(pg_catalog.to_char({0}::float8, '9.9999999999999999EEEE'))
end
"""
# What the output function writes, whatever casts there are; null and empty apart.
ROW = "row({})::text"
# A long value is compared by its digest and shown by its beginning.
LONG, SHOWN = 1000, 60
SHORT = """
case when pg_catalog.octet_length({measured}) <= {long} then {text}
     else pg_catalog.left({text}, {shown}) || '... ' || pg_catalog.length({text}) || ' characters '
          || {digest}
end
"""
# The same of bytes, whose text may be longer than a text can be.
SHORT_BYTES = """
case when pg_catalog.octet_length({bytes}) <= {long} then {whole}
     else '\\x' || pg_catalog.encode(pg_catalog.substr({bytes}, 1, {shown}), 'hex') || '... '
          || pg_catalog.octet_length({bytes}) || ' bytes ' || {digest}
end
"""
SHA = "pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to({}, 'UTF8')), 'hex')"
MD5 = "pg_catalog.md5(pg_catalog.convert_to({}, 'UTF8'))"
SHA_BYTES, MD5_BYTES = "pg_catalog.encode(pg_catalog.sha256({}), 'hex')", "pg_catalog.md5({})"
ENCODING = "select pg_catalog.current_setting('server_encoding')"
# What a value is printed by. A pooler may have lost what the session asked for.
PRINTING = (
    "DateStyle", "IntervalStyle", "TimeZone", "extra_float_digits", "bytea_output", "lc_monetary",
    "xmloption", "search_path",
)  # fmt: skip
SETTINGS = """
select name, setting
from (select n as name, pg_catalog.current_setting(n) as setting from unnest(%s::text[]) n) s
"""


@dataclass(frozen=True)
class Expressions:
    """What is asked of a table's rows, in the same words on both sides."""

    # A row's hash, and that of its key (the row's own where there is none).
    row: sql.Composed
    key: sql.Composed
    # The key, as texts that can be read back.
    key_texts: sql.Composed
    _values: Callable[[], sql.Composed]

    @cached_property
    def values(self) -> sql.Composed:
        """All values, for eyes and the verdict; asked for only where a row is a suspect."""
        return self._values()


class RowHash:
    """How to ask both sides so that equal rows give equal answers."""

    def __init__(self, both: Reader) -> None:
        """Choose by what both servers are; raises Unreachable where sessions do not print as they must."""
        versions = [session.version for session in both]
        # Before 12 floating-point numbers were printed by another rule; they are compared as bytes then,
        # but inside of composites and ranges to 15 digits.
        self.plain_floats = not all(has(v, Feature.SHORTEST_FLOATS) for v in versions)
        self.prepare(both)
        encodings = {session.value(ENCODING) for session in both}
        self._one_encoding = len(encodings) == 1
        # What is no text to the server is not cut as one.
        self._bytewise = "SQL_ASCII" in encodings
        features = ((RECORD, Feature.RECORD_HASHES), (EXTENDED, Feature.EXTENDED_HASHES))
        usable = [h for h, feature in features if all(has(v, feature) for v in versions)]
        self._hash = next((h for h in usable if _is_common(both, h)), DIGEST)
        with_sha = all(has(v, Feature.EXTENDED_HASHES) for v in versions)
        self._long, self._long_bytes = (SHA, SHA_BYTES) if with_sha else (MD5, MD5_BYTES)

    def prepare(self, both: Reader) -> None:
        """Have further sessions print values as the first ones do, and make sure of it."""
        if self.plain_floats:
            both.set("extra_float_digits", "0")
        self._require_pinned(both)

    @property
    def function(self) -> str:
        """Return what a row is hashed by."""
        return {RECORD: "column hashes", EXTENDED: "hashtextextended"}.get(self._hash, "md5")

    def is_readable(self, columns: Iterable[Column]) -> bool:
        """Return whether rows can be found again by the texts of these columns.

        Where floating-point numbers are printed by fewer digits, types that may have some inside cannot.
        """
        return not self.plain_floats or all(c.plain and c.oid not in FLOATS_INSIDE for c in columns)

    def expressions(self, one: Content, other: Content, key: tuple[str, ...]) -> Expressions:
        """Return what to ask of two tables that have the same columns."""
        here = {c.name: c for c in one.columns}
        there = {c.name: c for c in other.columns}
        ways = {c.name: way(c, there[c.name]) for c in one.columns}
        columns = [
            (c._replace(nullable=c.nullable or there[c.name].nullable), ways[c.name]) for c in one.columns
        ]
        row = self._hashed(columns)
        return Expressions(
            row=row,
            key=self._hashed([(c, how) for c, how in columns if c.name in key]) if key else row,
            key_texts=_texts([self._text(here[name], ways[name], back=True) for name in key]),
            _values=lambda: _texts([self._short(c, ways[c.name]) for c in one.columns]),
        )

    def _hashed(self, columns: list[tuple[Column, Way]]) -> sql.Composed:
        line = sql.SQL("{}::text").format(_row([self._printed(c, how) for c, how in columns]))
        if not self._one_encoding:
            line = sql.SQL(HEX.format(UTF8)).format(line)
        if self._hash != RECORD:
            return sql.SQL(self._hash).format(line=line)
        # Nulls that a constraint forbids, and nobody has looked for, would be none of the sum.
        return sql.SQL("coalesce({}, {})").format(self._chained(columns), sql.SQL(EXTENDED).format(line=line))

    def _chained(self, columns: list[tuple[Column, Way]]) -> sql.Composed:
        """Return the hash of columns by those of each: a column's seed is the hash of those before.

        What may be null is hashed apart and is the first one's seed.
        """
        apart: list[sql.Composable] = []
        others: list[sql.Composable] = []
        strict: list[tuple[str, sql.Composable]] = []
        for number, (column, how) in enumerate(columns, 1):
            value = self._native(column, how)
            if (function := self._function(column, how)) is None:
                others.append(value)
            elif column.nullable:
                known = sql.SQL(function).format(value=value, seed=mark(2 * number))
                apart.append(sql.SQL("coalesce({}, {})").format(known, mark(2 * number + 1)))
            else:
                strict.append((function, value))
        if others:
            apart.append(sql.SQL(RECORD).format(row=_row(others), seed=mark(0)))
        for begin in range(DEPTH, len(strict), DEPTH):
            seed = sql.SQL("{}").format(mark(-begin))
            apart.append(chain(strict[begin : begin + DEPTH], seed))
        seed = exclusive_or(apart or [sql.Literal(0)])
        return chain(strict[:DEPTH], seed) if strict else sql.SQL(MIXED).format(seed=seed)

    def _function(self, column: Column, how: Way) -> str | None:
        """Return what hashes one column as ``_native`` has it, if it can be called by its name."""
        if how is Way.FLOAT:
            return FLOAT_HASH
        if how is Way.AS_IS:
            return FUNCTIONS.get(column.oid)
        if not self._one_encoding:
            return None
        return FUNCTIONS[column.oid] if how is Way.COLLATED else TEXT_HASH

    def _native(self, column: Column, how: Way) -> sql.Composable:
        value = sql.Identifier("t", column.name)
        if how in (Way.AS_IS, Way.FLOAT):
            return value
        text = value if how is Way.COLLATED else self._text(column, how)
        if not self._one_encoding:
            return sql.SQL(UTF8).format(sql.SQL("{}::text").format(text))
        return sql.SQL('{} collate "C"').format(text)

    def _printed(self, column: Column, how: Way) -> sql.Composable:
        """Return a column as part of a row that is printed as one."""
        if how in (Way.TEXT, Way.FLOATS) or (how is Way.FLOAT and self.plain_floats):
            return self._text(column, how)
        return sql.Identifier("t", column.name)

    def _text(self, column: Column, how: Way, *, back: bool = False) -> sql.Composable:
        """Return a column's text; ``back`` is what can be read as a value again, and knows no null."""
        value = sql.Identifier("t", column.name)
        if how is Way.FLOAT and self.plain_floats:
            return sql.SQL(EXACT_FLOAT if back else HEX.format(FLOAT)).format(value)
        if how is Way.FLOATS and self.plain_floats:
            return sql.SQL(FLOATS).format(value, send=sql.SQL(FLOATS_INSIDE[column.oid]))
        if how is Way.ROW:
            return sql.SQL("pg_catalog.concat({})" if back else ROW).format(value)
        return sql.SQL("{}::text").format(value)

    def _short(self, column: Column, how: Way) -> sql.Composable:
        """Return a column's text for eyes and the verdict, a digest of it where it is long."""
        if how is Way.AS_IS and column.oid == BYTES:
            value: sql.Composable = sql.Identifier("t", column.name)
            digest = sql.SQL(self._long_bytes).format(value)
            whole = sql.SQL("{}::text").format(value)
            return sql.SQL(SHORT_BYTES).format(
                bytes=value, whole=whole, long=LONG, shown=SHOWN // 2, digest=digest
            )
        text = self._text(column, how)
        bytes_ = sql.SQL(UTF8).format(text)
        digest = sql.SQL(self._long).format(text)
        if self._bytewise:
            return sql.SQL(SHORT_BYTES).format(
                bytes=bytes_, whole=text, long=LONG, shown=SHOWN // 2, digest=digest
            )
        measured = text if self._one_encoding else bytes_
        return sql.SQL(SHORT).format(text=text, measured=measured, long=LONG, shown=SHOWN, digest=digest)

    def _require_pinned(self, both: Reader) -> None:
        wanted = {**{name: PINNED[name] for name in PRINTING}, "client_encoding": "UTF8"}
        if self.plain_floats:
            wanted["extra_float_digits"] = "0"
        for session in both:
            wrong = [
                f"{row.name} is {row.setting!r}"
                for row in session.rows(SETTINGS, [list(wanted)])
                if row.setting.strip('"') != wanted[row.name]
            ]
            if wrong:
                raise Unreachable(
                    f"the {session.side} does not keep the settings that values are printed by: "
                    f"{', '.join(wrong)}",
                    hint="give the server's own address, not a pooler's",
                    side=session.side,
                )


def _row(columns: list[sql.Composable]) -> sql.Composed:
    return sql.SQL("row({})").format(sql.SQL(", ").join(columns))


def _texts(columns: list[sql.Composable]) -> sql.Composed:
    return sql.SQL("array[{}]::text[]").format(sql.SQL(", ").join(columns))


def _is_common(both: Reader, function: str) -> bool:
    return len({session.value("select " + TRIALS[function]) for session in both}) == 1
