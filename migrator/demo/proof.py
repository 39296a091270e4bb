"""The proof that nothing was lost: compare both databases by content, look for every token."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from uuid import UUID

LEDGER = "public.ledger"

# Whatever the roles and databases set: the same value is the same text on both sides.
PINNED = {
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "3",
    "search_path": "pg_catalog",
    "row_security": "off",
    "statement_timeout": "0",
    "default_transaction_read_only": "on",
}

# Each object that has content or a position, with the columns of tables in order of their names:
# migrating may change their positions, and a dropped column leaves a gap.
OBJECTS = """
select c.relkind,
       n.nspname,
       c.relname,
       array(
           select a.attname
             from pg_attribute a
            where a.attrelid = c.oid
              and a.attnum > 0
              and not a.attisdropped
            order by a.attname::text collate "C"
       )
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
 where c.relkind in ('r', 'm', 'S')
   and c.relpersistence <> 't'
   and n.nspname <> 'information_schema'
   and n.nspname !~ '^(pg_|migrator_)'
"""

# The quicker one came with 11.
HASHES: dict[int, LiteralString] = {
    110000: "hashtextextended(t::text, 0)",
    0: "('x' || substr(md5(t::text), 1, 16))::bit(64)::bigint",
}

CONTENT = """
select count(*),
       coalesce(sum({hashed}), 0)
  from (select {columns} from {table} where {condition}) t
"""

SEQUENCE = """
select s.increment_by,
       s.cycle,
       p.last_value,
       p.is_called
  from {sequence} p,
       pg_sequences s
 where s.schemaname = {schema}
   and s.sequencename = {relation}
"""

MISSING = """
select wanted
  from unnest(%s::uuid[]) wanted
 where not exists (select from {table} where token = wanted)
"""

KINDS = {"r": "table", "m": "materialized view", "S": "sequence"}

Connection = psycopg.Connection[tuple[Any, ...]]
Objects = dict[tuple[str, str, str], list[str]]


@dataclass(frozen=True)
class Difference:
    """One object that is not the same on both sides."""

    kind: str
    name: str
    detail: str

    def __str__(self) -> str:
        """Return the difference as one line."""
        return f"{self.kind} {self.name}: {self.detail}"

    def as_dict(self) -> dict[str, str]:
        """Return the difference as one JSON-ready object."""
        return asdict(self)


@dataclass(frozen=True)
class Comparison:
    """How much was compared, and what is not the same."""

    tables: int
    rows: int
    differences: list[Difference]


def compare(
    source_url: str,
    destination_url: str,
    *,
    set_aside: Mapping[str, Collection[UUID]] | None = None,
) -> list[Difference]:
    """Return the differences between two databases; see ``compare_all``."""
    return compare_all(source_url, destination_url, set_aside=set_aside).differences


def compare_all(
    source_url: str,
    destination_url: str,
    *,
    set_aside: Mapping[str, Collection[UUID]] | None = None,
) -> Comparison:
    """Compare every table by all its rows, materialized views by presence, sequences by position.

    A table's rows are compared whatever their order, by count and by the sum of their hashes. A
    sequence on the destination may be past the source's, not behind it. ``set_aside`` names tables
    with a column ``token`` and the tokens whose rows do not count, on either side.
    """
    aside = set_aside or {}
    tables = rows = 0
    found: list[Difference] = []
    with (
        _connect(source_url) as source,
        _connect(destination_url) as destination,
        ThreadPoolExecutor(max_workers=2) as both,
    ):
        oldest = min(side.info.server_version for side in (source, destination))
        hashed = next(sql.SQL(text) for since, text in HASHES.items() if oldest >= since)
        here, there = _objects(source), _objects(destination)
        for key in sorted(here.keys() | there.keys()):
            kind, schema, relation = key
            name = f"{schema}.{relation}"
            detail = ""
            if key not in there:
                detail = "missing on the destination"
            elif key not in here:
                detail = "only on the destination"
            elif kind == "S":
                detail = _compare_sequences(source, destination, schema, relation)
            elif kind == "r" and here[key] != there[key]:
                detail = f"columns {here[key]} on the source, {there[key]} on the destination"
            elif kind == "r":
                query = _content_query(hashed, schema, relation, here[key], aside.get(name, ()))
                (count, digest), (count_there, digest_there) = both.map(
                    lambda side, query=query: _one(side, query), (source, destination)
                )
                tables += 1
                rows += count
                if count != count_there:
                    detail = f"{count} rows on the source, {count_there} on the destination"
                elif digest != digest_there:
                    detail = f"{count} rows on both sides, with different content"
            if detail:
                found.append(Difference(KINDS[kind], name, detail))
    return Comparison(tables, rows, found)


def find_missing(url: str, tokens: Collection[UUID], *, table: str = LEDGER) -> set[UUID]:
    """Return those of ``tokens`` that the table does not hold."""
    query = sql.SQL(MISSING).format(table=sql.Identifier(*table.split(".")))
    with _connect(url) as connection:
        return {token for (token,) in connection.execute(query, [list(tokens)])}


def _connect(url: str) -> Connection:
    # In libpq's options a space inside a value is escaped.
    options = " ".join("-c {}={}".format(k, v.replace(" ", r"\ ")) for k, v in PINNED.items())
    return psycopg.connect(url, autocommit=True, options=options, application_name="demo proof")


def _objects(connection: Connection) -> Objects:
    return {
        (kind, schema, relation): columns for kind, schema, relation, columns in connection.execute(OBJECTS)
    }


def _content_query(
    hashed: sql.SQL, schema: str, relation: str, columns: list[str], without: Collection[UUID]
) -> sql.Composed:
    # Values are literals, not parameters: next to parameters a % in a name would need doubling.
    condition = sql.SQL("token <> all ({}::uuid[])").format(sql.Literal(list(without)))
    return sql.SQL(CONTENT).format(
        hashed=hashed,
        columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
        table=sql.SQL("only {}").format(sql.Identifier(schema, relation)),
        condition=condition if without else sql.SQL("true"),
    )


def _compare_sequences(source: Connection, destination: Connection, schema: str, relation: str) -> str:
    query = sql.SQL(SEQUENCE).format(
        sequence=sql.Identifier(schema, relation),
        schema=sql.Literal(schema),
        relation=sql.Literal(relation),
    )
    step, cycles, here, called = _one(source, query)
    step_there, _, there, called_there = _one(destination, query)
    if step != step_there:
        return f"increment {step} on the source, {step_there} on the destination"
    # A cycling sequence may have begun again: there is no behind.
    behind = (here, called) > (there, called_there)
    if step < 0:
        behind = (-here, called) > (-there, called_there)
    if behind and not cycles:
        return f"at {here} on the source, behind it at {there} on the destination"
    return ""


def _one(connection: Connection, query: sql.Composed) -> tuple[Any, ...]:
    row = connection.execute(query).fetchone()
    if row is None:
        raise LookupError(query.as_string())
    return row
