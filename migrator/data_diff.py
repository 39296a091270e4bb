"""``migrator diff``: compare the rows of both sides, of a migration or of any two databases. Writes nothing.

While a stream runs, the side that takes the writes is the publisher, and the other one is compared once
it has applied what the publisher's snapshot sees.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from migrator.config import Config, MigrationSection, ServerSection
from migrator.connections import reading, require_pinned
from migrator.copy_diff import compared_tables
from migrator.diff.counts import Counted, count_tables
from migrator.diff.fix import script, statements
from migrator.diff.looks import Verdict
from migrator.diff.outcomes import told
from migrator.diff.pairs import Pairs, Wanted
from migrator.diff.roots import tables_of_both
from migrator.diff.run import Comparison
from migrator.diff.visibility import position
from migrator.errors import OutOfOrder, UnknownName
from migrator.events import StepProgress
from migrator.pg.catalog import all_tables, label
from migrator.report_diff import ORDER, DataDiffReport, TableDifference, verdict_of
from migrator.switchover.applied import Applied
from migrator.switchover.records import handed_over
from migrator.workflow import Lifecycle, State

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.context import ReadContext
    from migrator.diff.content import Name
    from migrator.diff.run import Outcome
    from migrator.diff.units import Unit
    from migrator.events import Emit
    from migrator.store.journal import MigrationRecord

NAME = "diff"
STATES = (State.REPLICATING, State.SEQ_SYNCED, State.CUTOVER)
UNNAMED = "two databases"
UNLIKE = "its partitions are not the same on both sides; its rows can be compared, not counted"
COUNTED = {Verdict.EQUAL: "equal", Verdict.DIFFERS: "different", Verdict.MOVING: "unresolved"}


@dataclass(frozen=True)
class Options:
    """What is compared, and how: ``rows`` is how many that differ are shown of a table.

    ``timeout`` bounds each wait for the stream, in seconds.
    """

    patterns: tuple[str, ...] = ()
    jobs: int = 4
    rows: int = 5
    rounds: int = 10
    timeout: float = 60
    only_count: bool = False
    fix: bool = False


@dataclass
class Subject:
    """The tables of one comparison, and how far each can be trusted."""

    wanted: list[Wanted]
    missing: dict[str, str] = field(default_factory=dict)
    unstreamed: dict[Name, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


def diff_migration(config: Config, record: MigrationRecord, emit: Emit, options: Options) -> DataDiffReport:
    """Compare both sides of a migration. Raises OutOfOrder, WrongServer, TimedOut, UnknownName."""
    _require_streaming(record.state)
    with reading(config, record, emit) as seen:
        # After the cutover a failover may have happened since, and either timeline is compared.
        require_pinned(record, seen, timeline=False)
        committed = handed_over(seen) is not None
        ctx = seen.mirrored() if committed else seen
        found = compared_tables(ctx)
        subject = Subject(
            wanted=[Wanted((t.schema, t.name)) for t in found.both],
            missing={t.table: t.note for t in found.missing},
            unstreamed={
                (t.schema, t.name): found.unstreamed[t.oid] for t in found.both if t.oid in found.unstreamed
            },
            left_out=found.left_out,
        )
        return _compare(
            ctx, subject, options, record.name, record.state.value, "back" if committed else "forward"
        )


def diff_databases(source: str, destination: str, emit: Emit, options: Options) -> DataDiffReport:
    """Compare any two databases, which no stream of ours connects. Raises Unreachable, UnknownName."""
    config = Config(
        migration=MigrationSection(name=NAME),
        source=ServerSection(url=source),
        destination=ServerSection(url=destination),
    )
    with reading(config, None, emit) as ctx:
        wanted, missing = tables_of_both(ctx.source, ctx.destination)
        return _compare(ctx, Subject(wanted, missing), options, UNNAMED, "", "")


def _require_streaming(state: State) -> None:
    if state in STATES:
        return
    following = Lifecycle(state).next()
    why = "not all is copied yet" if following else "its streams are gone"
    raise OutOfOrder(
        f"refused: the migration is {state}, and {NAME} compares from {STATES[0]} to {STATES[-1]}: {why}",
        hint="migrator advance" if following else "migrator diff --source URL --destination URL",
        state=state.value,
        allowed=[following.name] if following else [],
    )


def _compare(
    ctx: ReadContext, subject: Subject, options: Options, migration: str, state: str, stream: str
) -> DataDiffReport:
    """Compare what the options choose of the subject's tables."""
    started = ctx.now()
    halted = threading.Event()
    applied = Applied(ctx, NAME, timeout=options.timeout, halted=halted)
    _choose(subject, options.patterns)
    if options.only_count:
        tables, how, lsn, fix = _counted(ctx, subject, options, applied, halted), "count", "", ""
    else:
        work = _Work(ctx, subject, options)
        tables = work.compare(applied, halted)
        how, lsn = work.pairs.language.function, work.lsn
        fix = script(ctx.destination.side, work.fixes) if options.fix else ""
    tables += [TableDifference(name, "missing", note=note) for name, note in subject.missing.items()]
    tables.sort(key=lambda t: (ORDER.index(t.verdict), t.table))
    return DataDiffReport(
        migration,
        state,
        stream=stream if applied.streaming else "",
        how=how,
        lsn=lsn,
        seconds=round(ctx.now() - started, 2),
        verdict=verdict_of(tuple(tables)),
        tables=tuple(tables),
        left_out=subject.left_out,
        fix=fix,
    )


def _choose(subject: Subject, patterns: tuple[str, ...]) -> None:
    """Leave in the subject what any of the patterns names. Raises UnknownName for one that names nothing."""
    if not patterns:
        return
    names = [".".join(table.name) for table in subject.wanted] + list(subject.missing)
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            raise UnknownName(
                f"no table that is compared is called {pattern!r}",
                hint="patterns are those of the shell, on schema.table or the table's name alone",
            )
    subject.wanted = [t for t in subject.wanted if _any(".".join(t.name), patterns)]
    subject.missing = {name: why for name, why in subject.missing.items() if _any(name, patterns)}
    subject.left_out = {}


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)


class _Work:
    """One comparison of rows."""

    def __init__(self, ctx: ReadContext, subject: Subject, options: Options) -> None:
        self._ctx, self._subject, self._options = ctx, subject, options
        self.pairs = Pairs(ctx)
        self.found: dict[tuple[str, int], Outcome] = {}
        self.fixes: list[str] = []

    @property
    def lsn(self) -> str:
        """Return the oldest position that something was compared at."""
        positions = [o.lsn for o in self.found.values() if o.lsn]
        return min(positions, key=lambda p: [int(part, 16) for part in p.split("/")], default="")

    def compare(self, applied: Applied, halted: threading.Event) -> list[TableDifference]:
        """Compare all tables; each with its verdict."""
        ctx = self._ctx
        pairs, refused = self.pairs.find(self._subject.wanted)
        units = [unit for pair in pairs for unit in self.pairs.units(pair)]

        def barrier() -> None:
            if applied.streaming:
                applied.wait(ctx.source, position(ctx.source))

        def decided(unit: Unit, outcome: Outcome) -> None:
            self.found[unit.pair.label, unit.number] = outcome
            ctx.emit(StepProgress(NAME, len(self.found), len(units), "units", unit.label))

        Comparison(
            ctx,
            self.pairs,
            jobs=self._options.jobs,
            rounds=self._options.rounds,
            barrier=barrier,
            halted=halted,
            decided=decided,
        ).run(units)
        sides = (ctx.source.side, ctx.destination.side)
        tables = [TableDifference(name, "different", note=why) for name, why in refused.items()]
        for pair in pairs:
            outcomes = [o for (name, _number), o in self.found.items() if name == pair.label]
            table = told(pair, outcomes, sides, self._options.rows)
            if self._options.fix and table.different:
                proven = [d for o in outcomes for d in o.differences]
                self.fixes += statements(ctx.source, pair, proven)
            why = self._subject.unstreamed.get((pair.one.schema, pair.one.name))
            if why and table.verdict != "equal":
                table = replace(table, verdict="not_streamed", note=why)
            tables.append(table)
        return tables


def _counted(
    ctx: ReadContext, subject: Subject, options: Options, applied: Applied, halted: threading.Event
) -> list[TableDifference]:
    """Count the tables only, as ``copy-diff`` does: what is in the rows is not looked at."""
    names = {table.name for table in subject.wanted if table.members == ((), ())}
    both = [t for t in all_tables(ctx.source) if (t.schema, t.name) in names]
    counted = count_tables(
        ctx,
        both,
        jobs=options.jobs,
        rounds=options.rounds,
        applied=applied.wait,
        halted=halted,
        progress=lambda done, total, what: ctx.emit(StepProgress(NAME, done, total, "tables", what)),
    )
    tables = [_from_count(ctx, subject, found) for found in counted]
    for table in subject.wanted:
        if table.name not in names:
            tables.append(TableDifference(label(*table.name), "not_compared", note=UNLIKE))
    return tables


def _from_count(ctx: ReadContext, subject: Subject, found: Counted) -> TableDifference:
    if found.look is None:
        return TableDifference(found.table.label, "not_compared", note=found.failure)
    rows = {ctx.source.side: found.look.between.rows, ctx.destination.side: found.look.after.rows}
    why = subject.unstreamed.get((found.table.schema, found.table.name), "")
    verdict = COUNTED[found.look.verdict]
    return TableDifference(
        found.table.label,
        "not_streamed" if why and verdict != "equal" else verdict,
        source=rows["source"],
        destination=rows["destination"],
        different=found.look.missing + found.look.surplus,
        more=True,
        note=why,
    )
