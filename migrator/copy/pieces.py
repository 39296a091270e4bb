"""Cut large tables into pieces that are copied at the same time, from one snapshot.

Every piece is a range of the table's blocks (``ctid``, a TID range scan from version 14 on), or of the
leading column of its primary key as the planner's statistics cut it before that. The first and the last
piece are open, so that together they are the table whatever the estimates say.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.machine import known_cores
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.context import ReadContext
    from migrator.pg.catalog import Table
    from migrator.pg.session import ReadSession

BLOCKS = """
select c.oid,
       (pg_catalog.pg_relation_size(c.oid) / pg_catalog.current_setting('block_size')::int)::bigint as blocks
from pg_catalog.pg_class c
where c.oid = any (%s)
"""
# The bounds of the histogram's equal shares, in the key's own order, as text. Not of a key whose order
# is a collation's: that may have changed since, and bounds out of order would cut rows twice.
KEY_BOUNDS = """
select c.oid,
       a.attname::text as column,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
       s.histogram_bounds::text::text[] as bounds
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = i.indkey[0]
join pg_catalog.pg_stats s
  on s.schemaname = n.nspname and s.tablename = c.relname and s.attname = a.attname and not s.inherited
where c.oid = any (%s)
  and s.histogram_bounds is not null
  and a.attcollation = 0
"""
FROM = "{column} >= {bound}::{type}"
UNTIL = "{column} < {bound}::{type}"
# Where nothing is configured. A table in pieces is not frozen as it arrives, so that whatever reads it next
# costs more: it pays where two copies can run at a time, each of which keeps one core and a half busy.
LARGE = 1024**3
CORES_FOR_TWO = 3
# More would only cost: each is a transaction of its own.
MOST = 1000


@dataclass(frozen=True, eq=False, slots=True)
class Piece:
    """A part of a table, or all of it: ``where`` is its condition, ``bytes`` its estimated size."""

    table: Table
    number: int = 0
    of: int = 1
    where: sql.Composable | None = None
    bytes: int = 0

    @property
    def label(self) -> str:
        """Return the piece's name for people."""
        return f"{self.table.label} ({self.number + 1} of {self.of})" if self.of > 1 else self.table.label


def size_of_pieces(ctx: ReadContext) -> int:
    """Return the bytes above which a table is cut: ``[copy] split_above``, or what suits the machine."""
    cores = known_cores(ctx)
    suitable = LARGE if cores is None or cores >= CORES_FOR_TWO else sys.maxsize
    return ctx.config.copy.split_above or suitable


def cut(source: ReadSession, tables: list[Table], above: int) -> list[Piece]:
    """Return the pieces of all tables; one larger than ``above`` bytes, TOAST included, in even ones."""
    large = [t for t in tables if t.bytes > above]
    bounds = _block_bounds(source, large, above) if large else {}
    if large and not has(source.version, Feature.TID_RANGE_SCAN):
        bounds = _key_bounds(source, large, above)
    pieces: list[Piece] = []
    for table in tables:
        conditions = bounds.get(table.oid) or [None]
        pieces += [
            Piece(table, number, len(conditions), where, table.bytes // len(conditions))
            for number, where in enumerate(conditions)
        ]
    return pieces


def _wanted(table: Table, above: int) -> int:
    return min(-(-table.bytes // above), MOST)


def _block_bounds(
    source: ReadSession, tables: list[Table], above: int
) -> dict[int, list[sql.Composable | None]]:
    blocks = {row.oid: row.blocks for row in source.rows(BLOCKS, [[t.oid for t in tables]])}
    return {
        t.oid: ranges("ctid", "tid", [f"({block},0)" for block in even(blocks[t.oid], _wanted(t, above))])
        for t in tables
        if t.oid in blocks
    }


def _key_bounds(
    source: ReadSession, tables: list[Table], above: int
) -> dict[int, list[sql.Composable | None]]:
    wanted = {t.oid: _wanted(t, above) for t in tables}
    return {
        row.oid: ranges(
            row.column, row.type, [row.bounds[n] for n in even(len(row.bounds) - 1, wanted[row.oid])]
        )
        for row in source.rows(KEY_BOUNDS, [list(wanted)])
    }


def even(length: int, parts: int) -> list[int]:
    """Return where to cut ``length`` into that many even parts: the inner bounds, ascending, none twice."""
    return sorted({length * n // parts for n in range(1, parts)} - {0, length})


def ranges(column: str, type_name: str, bounds: Sequence[str]) -> list[sql.Composable | None]:
    """Return the conditions of the ranges between the bounds, open at both ends."""
    known = dict.fromkeys(bounds)
    parts = {"column": sql.Identifier(column), "type": sql.SQL(type_name)}
    lower = [sql.SQL(FROM).format(bound=sql.Literal(b), **parts) for b in known]
    upper = [sql.SQL(UNTIL).format(bound=sql.Literal(b), **parts) for b in known]
    if not known:
        return [None]
    middle = [sql.SQL(" and ").join(pair) for pair in zip(lower, upper[1:], strict=False)]
    return [upper[0], *middle, lower[-1]]
