"""Sequences: read all of one side in one query, set all of the other in one statement.

Logical replication does not carry sequences (documentation 29.8). A position is where the sequence
stands in the direction that it counts in; setting never moves the destination's backwards, except
for a cycling sequence, which has no backwards and is set to the source's position as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import StatementFailed
from migrator.pg.catalog_sequences import Sequence, sequences

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Many

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import ReadSession, WriteSession

READ_ONE = "select {oid}::oid as oid, last_value, is_called from {name}"
SET_ALL = """
select pg_catalog.setval(
           pg_catalog.format('%%I.%%I', w.schema, w.name)::pg_catalog.regclass, w.value, w.called)
from unnest(%s::text[], %s::text[], %s::bigint[], %s::boolean[]) as w (schema, name, value, called)
"""
SET_ONE = "select pg_catalog.setval({name}, {value}, {called})"
# Only these can be read without an error.
READABLE = """
select s.oid
from unnest(%s::oid[]) as s (oid)
join pg_catalog.pg_class c on c.oid = s.oid
where pg_catalog.has_schema_privilege(c.relnamespace, 'usage')
  and pg_catalog.has_sequence_privilege(s.oid, 'select')
"""
PER_QUERY = 1000
# Cheaper than reading them one by one, and enough to tell which ones moved; null where nothing was taken.
LAST_VALUES = """
select s.seqrelid as oid, pg_catalog.pg_sequence_last_value(s.seqrelid) as value
from pg_catalog.pg_sequence s
join pg_catalog.pg_class c on c.oid = s.seqrelid
where c.relpersistence <> 't'
"""


@dataclass(frozen=True)
class Position:
    """Where a sequence stands: its last value, and whether ``nextval`` has given that one out."""

    sequence: Sequence
    value: int
    called: bool

    @property
    def next(self) -> int:
        """Return what ``nextval`` gives next, limits and cycling left aside."""
        return self.value + (self.sequence.increment if self.called else 0)


def read(session: ReadSession) -> dict[tuple[str, str], Position]:
    """Return the position of every user sequence by schema and name."""
    return _positions(session, sequences(session))


def read_readable(session: ReadSession) -> tuple[dict[tuple[str, str], Position], list[Sequence]]:
    """Return the positions that the role may read, and the sequences that it may not."""
    found = sequences(session)
    readable = {row.oid for row in session.rows(READABLE, [[s.oid for s in found]])}
    positions = _positions(session, [s for s in found if s.oid in readable])
    return positions, [s for s in found if s.oid not in readable]


def _positions(session: ReadSession, found: list[Sequence]) -> dict[tuple[str, str], Position]:
    known = {s.oid: s for s in found}
    return {
        (s.schema, s.name): Position(s, row.last_value, row.is_called)
        for query in _queries(found)
        for row in session.rows(query)
        for s in [known[row.oid]]
    }


def _queries(found: list[Sequence]) -> list[sql.SQL]:
    return [
        sql.SQL(
            sql.SQL(" union all ")
            .join(
                sql.SQL(READ_ONE).format(oid=sql.Literal(s.oid), name=s.identifier)
                for s in found[start : start + PER_QUERY]
            )
            .as_string()
        )
        for start in range(0, len(found), PER_QUERY)
    ]


@dataclass(frozen=True)
class Presynced:
    """Where the sequences stood when the destination's were set, right before the fence.

    ``unused`` reads those of which nothing was taken yet, whose last value says nothing; the source has
    planned it.
    """

    values: dict[int, int | None]
    positions: dict[int, Position]
    set: dict[tuple[str, str], Position]
    unused: list[sql.SQL]


def presync(ctx: WriteContext) -> Presynced:
    """Set all of the destination's sequences while writes go on, so that few are left for the fence."""
    values = {row.oid: row.value for row in ctx.source.execute(LAST_VALUES, often=True)}
    source, destination = read(ctx.source), read(ctx.destination)
    wanted = plan(source, destination, ctx.config.sequences.shift)
    write(ctx.write_destination, wanted)
    now = destination | {(p.sequence.schema, p.sequence.name): p for p in wanted}
    unused = _queries([p.sequence for p in source.values() if values.get(p.sequence.oid) is None])
    for query in unused:
        ctx.source.execute(query, often=True)
    return Presynced(values, {p.sequence.oid: p for p in source.values()}, now, unused)


def moved(ctx: ReadContext, presynced: Presynced) -> list[Position]:
    """Return what is to be set on the destination of what has moved since, asked in one message."""
    try:
        with ctx.source.together():
            answer = ctx.source.execute(LAST_VALUES, often=True)
            unused = [ctx.source.execute(query, often=True) for query in presynced.unused]
    except StatementFailed:  # one was dropped since
        return plan(read(ctx.source), presynced.set, ctx.config.sequences.shift)
    values = {row.oid: row.value for row in answer}
    if values.keys() - presynced.values.keys():
        return plan(read(ctx.source), presynced.set, ctx.config.sequences.shift)
    now = {row.oid: (row.last_value, row.is_called) for each in unused for row in each}
    now |= {oid: (value, True) for oid, value in values.items() if value is not None}
    mine = {oid: p for oid, p in presynced.positions.items() if oid in values}
    # Those that were set as if nothing had been taken of them.
    found = _positions(ctx.source, [p.sequence for oid, p in mine.items() if oid not in now])
    for oid, before in mine.items():
        value, called = now.get(oid, (before.value, before.called))
        if (value, called) != (before.value, before.called):
            found[before.sequence.schema, before.sequence.name] = Position(before.sequence, value, called)
    return plan(found, presynced.set, ctx.config.sequences.shift)


def shifted(position: Position, shift: int) -> Position:
    """Return the position ``shift`` further, in the direction that the sequence counts in.

    The shift is a number of values, rounded up to whole increments. Where less than twice the shift
    is left before the limit, only half of what is left is used, so that a sequence near its end is
    not exhausted by the move; a cycling one is not shifted past its limit.
    """
    s = position.sequence
    if shift == 0:
        return position
    step = abs(s.increment)
    steps = -(-shift // step)
    left = (s.maximum - position.value if s.increment > 0 else position.value - s.minimum) // step
    taken = min(steps, left // 2) if left < 2 * steps else steps
    return Position(s, position.value + taken * s.increment, position.called)


def is_behind(here: Position, there: Position) -> bool:
    """Return whether ``here`` would give out a value that ``there`` has given out already."""
    if there.sequence.cycle:
        return here.value != there.value or here.called != there.called
    if there.sequence.increment > 0:
        return here.next < there.next
    return here.next > there.next


def behind(
    source: dict[tuple[str, str], Position], destination: dict[tuple[str, str], Position]
) -> list[Position]:
    """Return the source's positions that the destination has not reached.

    A cycling sequence counts as behind only while it is not set at all, because it moves both ways.
    """
    return [
        p
        for key, p in source.items()
        if key not in destination
        or (
            is_behind(destination[key], p)
            if not p.sequence.cycle
            else p.called and not destination[key].called
        )
    ]


def plan(
    source: dict[tuple[str, str], Position],
    destination: dict[tuple[str, str], Position],
    shift: int,
) -> list[Position]:
    """Return the positions to set on the destination: the source's plus the shift, never backwards."""
    wanted = (p if p.sequence.cycle and not p.called else shifted(p, shift) for p in source.values())
    return [
        p
        for p in wanted
        if (here := destination.get((p.sequence.schema, p.sequence.name))) is None or is_behind(here, p)
    ]


def setting(position: Position) -> sql.Composed:
    """Return the statement that sets one sequence, as people read it."""
    name = sql.Literal(position.sequence.identifier.as_string())
    return sql.SQL(SET_ONE).format(name=name, value=position.value, called=position.called)


def write(session: WriteSession, positions: Iterable[Position]) -> int:
    """Set the sequences in one statement, within the caller's transaction; return how many."""
    many: Many[Position] = list(positions)
    if many:
        session.execute(
            SET_ALL,
            [
                [p.sequence.schema for p in many],
                [p.sequence.name for p in many],
                [p.value for p in many],
                [p.called for p in many],
            ],
        )
    return len(many)
