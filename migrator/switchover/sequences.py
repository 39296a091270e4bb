"""Sequences: read all of one side in one query, set all of the other in one statement.

Logical replication does not carry sequences (documentation 29.8). A position is where the sequence
stands in the direction that it counts in; setting never moves the destination's backwards, except
for a cycling sequence, which has no backwards and is set to the source's position as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.catalog_sequences import Sequence, sequences

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Many

    from migrator.pg.session import ReadSession, WriteSession

READ_ONE = "select {oid}::oid as oid, last_value, is_called from {name}"
SET_ALL = """
select pg_catalog.setval(
           pg_catalog.format('%%I.%%I', w.schema, w.name)::pg_catalog.regclass, w.value, w.called)
from unnest(%s::text[], %s::text[], %s::bigint[], %s::boolean[]) as w (schema, name, value, called)
"""
PER_QUERY = 1000


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
    found = sequences(session)
    positions: dict[tuple[str, str], Position] = {}
    for start in range(0, len(found), PER_QUERY):
        part = {s.oid: s for s in found[start : start + PER_QUERY]}
        query = sql.SQL(" union all ").join(
            sql.SQL(READ_ONE).format(oid=sql.Literal(oid), name=s.identifier) for oid, s in part.items()
        )
        for row in session.rows(query):
            s = part[row.oid]
            positions[s.schema, s.name] = Position(s, row.last_value, row.is_called)
    return positions


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
