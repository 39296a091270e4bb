"""Copy the rows of unlogged tables, which no stream carries.

All tables of one call come in together, in the caller's transaction on the destination: they are emptied,
filled and recorded at once. What is recorded may be copied again at any time; what is not was not made by us.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.formats import Shape, shapes
from migrator.pg.catalog import Table, all_tables, unlogged_tables
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.rows import Carried, carry_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession, WriteSession

COPIED = """
select n.nspname as schema, c.relname as name, k.rows, k.bytes, k.seconds
from {schema}.unlogged k
join pg_catalog.pg_class c on c.oid = k.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
OURS = """
select t.schema, t.name
from unnest(%s::text[], %s::text[]) as t (schema, name)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
join {schema}.made m on m.class = 'pg_catalog.pg_class'::pg_catalog.regclass and m.object = c.oid
"""
# A table that another one refers to can only be truncated together with it.
REFERRED = """
select f.oid
from pg_catalog.pg_constraint k
join pg_catalog.pg_class f on f.oid = k.confrelid
where k.contype = 'f'
  and k.confrelid = any (%s)
  and k.conrelid <> all (%s)
"""
TRUNCATE = "truncate only {tables}"
DELETE = "delete from only {table}"
OUT = "copy {table} {columns} to stdout with (format {format})"
INTO = "copy {table} {columns} from stdin with (format {format})"
RECORD = """
insert into {schema}.unlogged (relation, rows, bytes, seconds)
values (%s, %s, %s, %s)
on conflict (relation) do update
set rows = excluded.rows, bytes = excluded.bytes, seconds = excluded.seconds, at = clock_timestamp()
"""
FORGET = "delete from {schema}.unlogged"


@dataclass(frozen=True)
class Copied:
    """An unlogged table that is in: how much it was when it was copied last, in how many seconds."""

    rows: int
    bytes: int
    seconds: float


def copied(ctx: ReadContext) -> dict[tuple[str, str], Copied]:
    """Return the unlogged tables that are in, by schema and name."""
    rows = Registry(ctx.destination, ctx.names).rows(COPIED)
    return {(r.schema, r.name): Copied(r.rows, r.bytes, r.seconds) for r in rows}


def wanted(ctx: ReadContext) -> list[Table]:
    """Return the source's unlogged tables whose rows are to be copied."""
    if ctx.config.tables.unlogged != "copy":
        return []
    return unlogged_tables(ctx.source, ctx.config.tables)


def missing(ctx: ReadContext) -> list[Table]:
    """Return those that are not in."""
    tables = wanted(ctx)
    have = copied(ctx) if tables else {}
    return [t for t in tables if (t.schema, t.name) not in have]


def to_copy(ctx: ReadContext) -> list[Table]:
    """Return those of them that stand on the destination; one made since is still to be taken in."""
    tables = missing(ctx)
    standing = {(t.schema, t.name) for t in all_tables(ctx.destination)} if tables else set()
    return [t for t in tables if (t.schema, t.name) in standing]


def not_ours(registry: Registry, tables: list[Table]) -> list[Table]:
    """Return the tables that were not made on the destination by us."""
    rows = registry.rows(OURS, [[t.schema for t in tables], [t.name for t in tables]])
    ours = {(r.schema, r.name) for r in rows}
    return [t for t in tables if (t.schema, t.name) not in ours]


def copy_rows(
    source: ReadSession,
    registry: WritableRegistry,
    tables: list[tuple[Table, Table]],
    now: Callable[[], float],
    sent: Callable[[int], None],
) -> None:
    """Copy the rows of ``tables``, each as it is on the source and on the destination.

    Within the caller's transaction; nobody's trigger fires, and keys are not compared row by row: the
    source has done that. ``sent`` is told of bytes that were carried, and may raise to give up.
    """
    forms, started = shapes(source, [there for there, _ in tables]), now()
    for (_, here), carried in zip(tables, refill(source, registry.session, tables, forms, sent), strict=True):
        registry.run(RECORD, [here.oid, carried.rows, carried.bytes, now() - started])
        started = now()


def refill(
    source: ReadSession,
    session: WriteSession,
    tables: list[tuple[Table, Table]],
    forms: dict[int, Shape],
    sent: Callable[[int], None],
) -> Iterator[Carried]:
    """Empty tables and give them the source's rows, in the caller's transaction; tell of each.

    They are given as they are on the source and on the destination.
    """
    _empty(session, [here for _, here in tables])
    for there, here in tables:
        shape = forms[there.oid]
        yield carry_rows(source, _copy(OUT, there, shape), session, _copy(INTO, here, shape), sent)


def empty_copied(registry: WritableRegistry, tables: list[Table]) -> None:
    """Empty the destination's ``tables`` and forget that anything is in, within the caller's transaction."""
    _empty(registry.session, tables)
    registry.run(FORGET)


def _empty(session: WriteSession, tables: list[Table]) -> None:
    oids = [t.oid for t in tables]
    referred = {row.oid for row in session.rows(REFERRED, [oids, oids])}
    alone = [t.identifier for t in tables if t.oid not in referred]
    if alone:
        session.run(sql.SQL(TRUNCATE).format(tables=sql.SQL(", only ").join(alone)))
    for table in tables:
        if table.oid in referred:
            session.run(sql.SQL(DELETE).format(table=table.identifier))


def _copy(text: str, table: Table, shape: Shape) -> sql.Composed:
    names = sql.SQL("({})").format(sql.SQL(", ").join(map(sql.Identifier, shape.columns)))
    return sql.SQL(text).format(
        table=table.identifier,
        columns=names if shape.columns else sql.SQL(""),
        format=sql.SQL(shape.format),
    )
