"""Compare what was carried: every table counted, every sequence's position, on both sides. Writes nothing.

Equal counts are a coarse proof: rows may still differ in what is in them. The exact one is made at the
switchover (``switchover/proof.py``).
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from migrator.connections import reading, require_pinned
from migrator.context import FORWARD
from migrator.copy import unlogged
from migrator.diff.counts import Counted, count_tables
from migrator.diff.looks import Verdict
from migrator.diff.roots import foreign_tables
from migrator.errors import OutOfOrder
from migrator.events import StepProgress
from migrator.pg.catalog import all_tables, label, published_tables, selected, unpublished_tables
from migrator.pg.publication import published_streams
from migrator.report_copy_diff import DIFFERENCES, ORDER, CopyDiffReport, SequencePosition, TableCount
from migrator.switchover import sequences
from migrator.switchover.applied import Applied
from migrator.switchover.records import handed_over
from migrator.workflow import Lifecycle, State

if TYPE_CHECKING:
    from migrator.config import Config
    from migrator.context import ReadContext
    from migrator.events import Emit
    from migrator.pg.catalog import Table
    from migrator.pg.session import ReadSession
    from migrator.store.journal import MigrationRecord
    from migrator.switchover.sequences import Position

NAME = "copy-diff"
STATES = (State.SCHEMA_COPIED, State.REPLICATING, State.SEQ_SYNCED, State.CUTOVER)
UNSYNCED = STATES[:2]
NEXT = {
    State.SCHEMA_COPIED: "migrator advance, which copies what is not in yet",
    State.CUTOVER: "mend what is named before the writes are given back: the source would serve with it",
}
COPY_AGAIN = "migrator rollback-to schema_copied, then migrator advance, copies all tables again"


def require_copied(state: State) -> None:
    """Raise OutOfOrder in a state in which there are not two sides to compare."""
    if state in STATES:
        return
    following = Lifecycle(state).next()
    allowed = following.name if following else "nothing: the streams are gone"
    raise OutOfOrder(
        f"refused: the migration is {state}, and {NAME} compares from {STATES[0]} to {STATES[-1]}; "
        f"what is allowed now is {allowed}",
        hint="migrator advance" if following else "migrator status",
        state=state.value,
        allowed=[following.name] if following else [],
    )


def copy_diff(
    config: Config, record: MigrationRecord, emit: Emit, *, jobs: int, rounds: int, timeout: float
) -> CopyDiffReport:
    """Compare both sides: who takes the writes is the publisher, the other one follows by the stream.

    ``timeout`` bounds each wait for the stream, in seconds. Raises OutOfOrder, WrongServer, TimedOut.
    """
    require_copied(record.state)
    with reading(config, record, emit) as seen:
        # After the cutover a failover may have happened since, and either timeline is compared.
        require_pinned(record, seen, timeline=False)
        committed = handed_over(seen) is not None
        ctx = seen.mirrored() if committed else seen
        started = ctx.now()
        halted = threading.Event()
        applied = Applied(ctx, NAME, timeout=timeout, halted=halted)
        found = compared_tables(ctx)
        streamed = [t for t in found.both if t.oid not in found.unstreamed]
        count = partial(count_tables, ctx, jobs=jobs, applied=applied.wait, halted=halted)
        counted = count(
            streamed,
            rounds=rounds,
            progress=lambda done, total, what: emit(StepProgress(NAME, done, total, "tables", what)),
        )
        counted += count([t for t in found.both if t.oid in found.unstreamed], rounds=0)
        tables = [_told(ctx, one, found.unstreamed) for one in counted] + found.missing
        positions = _positions(ctx, record.state)
        tables.sort(key=lambda t: (ORDER.index(t.verdict), t.table))
        positions.sort(key=lambda p: (ORDER.index(p.verdict), p.sequence))
        return CopyDiffReport(
            record.name,
            record.state.value,
            stream=("back" if committed else "forward") if applied.streaming else "",
            seconds=round(ctx.now() - started, 2),
            different=sum(t.verdict in DIFFERENCES for t in tables)
            + sum(p.verdict in DIFFERENCES for p in positions),
            tables=tuple(tables),
            sequences=tuple(positions),
            left_out=found.left_out,
            next=NEXT.get(record.state, COPY_AGAIN),
        )


@dataclass
class Compared:
    """What is compared, what one side lacks, what no stream carries (with the reason), what is left out."""

    both: list[Table]
    missing: list[TableCount]
    unstreamed: dict[int, str]
    left_out: dict[str, int]


def compared_tables(ctx: ReadContext) -> Compared:
    """Return which tables are to be compared in a migration; the context's source is the publisher."""
    here, there = ({(t.schema, t.name): t for t in _plain(s)} for s in (ctx.source, ctx.destination))
    forward = ctx.roles == FORWARD
    fresh = unpublished_tables(ctx.source, ctx.names, ctx.config.tables) if forward else []
    copied = "copied again at the cutover" if forward else "not carried back"
    unstreamed = {t.oid: f"unlogged: its rows are {copied}" for t in unlogged.wanted(ctx)}
    if published_streams(ctx.source, ctx.names):
        unstreamed |= {t.oid: "not in the migration yet: migrator refresh" for t in fresh}
    carried = {t.oid for t in (*published_tables(ctx.source, ctx.names, sizes=False), *fresh)}
    wanted = {key: t for key, t in here.items() if t.oid in carried or t.oid in unstreamed}
    missing = [
        _lacking(ctx.destination, key, unstreamed.get(wanted[key].oid, ""))
        for key in wanted.keys() - there.keys()
    ]
    missing += [_lacking(ctx.source, key) for key in there.keys() - here.keys() if _is_ours(ctx, there[key])]
    return Compared(
        both=[t for key, t in wanted.items() if key in there],
        missing=missing,
        unstreamed=unstreamed,
        left_out=dict(
            Counter([_why(ctx, t) for key, t in here.items() if key not in wanted] + _foreign(ctx))
        ),
    )


def _plain(session: ReadSession) -> list[Table]:
    return [t for t in all_tables(session) if t.kind == "r"]


def _lacking(session: ReadSession, key: tuple[str, str], why: str = "") -> TableCount:
    note = f"the {session.side} does not have it" + (f"; {why}" if why else "")
    return TableCount(label(*key), "missing", note=note)


def _is_ours(ctx: ReadContext, table: Table) -> bool:
    options = ctx.config.tables
    carried = table.persistence == "p" or options.unlogged == "copy"
    return carried and selected(table.schema, table.name, options)


def _why(ctx: ReadContext, table: Table) -> str:
    if not selected(table.schema, table.name, ctx.config.tables):
        return "excluded"
    return "unlogged" if table.persistence == "u" else "new"


def _foreign(ctx: ReadContext) -> list[str]:
    found = foreign_tables(ctx.source)
    return ["foreign" if selected(*name, ctx.config.tables) else "excluded" for name in found]


def _told(ctx: ReadContext, found: Counted, unstreamed: dict[int, str]) -> TableCount:
    """Describe a table; the context's source is the publisher, whichever side that is."""
    name = found.table.label
    if found.look is None:
        return TableCount(name, "not_compared", looks=found.looks, note=found.failure)
    look = found.look
    here, there = ctx.source.side, ctx.destination.side
    rows = {here: look.between.rows, there: look.after.rows}
    verdict, note = look.verdict.value, ""
    if found.table.oid in unstreamed:
        verdict = "equal" if rows[here] == rows[there] else "not_streamed"
        note = unstreamed[found.table.oid]
    elif look.verdict is Verdict.DIFFERS:
        lacks = [f"{look.missing} not on the {there}"] if look.missing else []
        lacks += [f"{look.surplus} only on the {there}"] if look.surplus else []
        note = f"of its rows {' and '.join(lacks)}, or more"
    elif look.verdict is Verdict.MOVING:
        note = "written to during every look, and no difference found"
    return TableCount(name, verdict, rows["source"], rows["destination"], found.looks, note)


def _positions(ctx: ReadContext, state: State) -> list[SequencePosition]:
    """Compare all sequences; the side that follows is read first, so that it is not ahead by that."""
    there, hidden_there = sequences.read_readable(ctx.destination)
    here, hidden_here = sequences.read_readable(ctx.source)
    hidden: dict[tuple[str, str], list[str]] = {}
    for session, unreadable in ((ctx.source, hidden_here), (ctx.destination, hidden_there)):
        for sequence in unreadable:
            hidden.setdefault((sequence.schema, sequence.name), []).append(session.side)
    positions = []
    for key in sorted(here.keys() | there.keys() | hidden.keys()):
        mine, theirs = here.get(key), there.get(key)
        if key in hidden:
            verdict, note = "not_compared", f"needs the right to select from it on the {hidden[key][0]}"
        elif mine is None or theirs is None:
            side = (ctx.source if mine is None else ctx.destination).side
            verdict, note = "missing", f"the {side} does not have it"
        else:
            verdict, note = _stand(mine, theirs, state, forward=ctx.roles == FORWARD)
        values = {ctx.source.side: _value(mine), ctx.destination.side: _value(theirs)}
        positions.append(
            SequencePosition(label(*key), verdict, values["source"], values["destination"], note)
        )
    return positions


def _value(position: Position | None) -> int | None:
    return position.value if position is not None and position.called else None


def _stand(mine: Position, theirs: Position, state: State, *, forward: bool) -> tuple[str, str]:
    """Return how the follower's position stands to the publisher's.

    The side that serves must not give out what the other one has given out; the one that follows is set
    when it is to serve.
    """
    key = (mine.sequence.schema, mine.sequence.name)
    if not forward and sequences.behind({key: theirs}, {key: mine}):
        return "differs", "the destination gives out again what the source has given out"
    if sequences.behind({key: mine}, {key: theirs}):
        if not forward:
            return "behind", "set when the writes are given back"
        return "behind", f"set {'at sync_sequences' if state in UNSYNCED else 'again at the cutover'}"
    same = (mine.value, mine.called) == (theirs.value, theirs.called)
    return ("equal", "") if same else ("ahead", "")
