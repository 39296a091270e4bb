"""``migrator diff``: compare the rows of both sides, of a migration or of any two databases. Writes nothing.

While a stream runs, the side that takes the writes is the publisher, and the other one is compared once
it has applied what the publisher's snapshot sees.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from migrator.config import Config, MigrationSection, ServerSection
from migrator.connections import reading, require_pinned
from migrator.copy_diff import compared_tables
from migrator.diff.count_only import counted_only
from migrator.diff.fix import script, statements
from migrator.diff.outcomes import told
from migrator.diff.pairs import Pairs, Wanted
from migrator.diff.proven import Proven, definition
from migrator.diff.roots import large_objects, left_out, roots, tables_of_both
from migrator.diff.run import Comparison
from migrator.diff.subject import Options, Subject, choose
from migrator.diff.visibility import position
from migrator.diff_between import keeping
from migrator.diff_kept import Kept
from migrator.errors import OutOfOrder
from migrator.events import StepProgress
from migrator.pg.conninfo import require_usable
from migrator.report_diff import COUNT, ORDER, DataDiffReport, TableDifference, verdict_of
from migrator.store.records import Scope
from migrator.switchover import fence
from migrator.switchover.applied import Applied
from migrator.switchover.pace import Pace
from migrator.switchover.records import handed_over
from migrator.workflow import Lifecycle, State

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from migrator.context import ReadContext
    from migrator.diff.content import Name
    from migrator.diff.run import Outcome
    from migrator.diff.units import Pair, Unit
    from migrator.events import Emit
    from migrator.store.journal import Journal, MigrationRecord

__all__ = ["Options", "diff_databases", "diff_migration"]

NAME = "diff"
# The stream keeps what was found alike, but from whoever gets past the fence.
WITHIN = timedelta(days=7)
STATES = (State.REPLICATING, State.SEQ_SYNCED, State.CUTOVER)


def diff_migration(
    config: Config,
    record: MigrationRecord,
    journal: Journal,
    emit: Emit,
    options: Options,
    *,
    only: Collection[Name] | None = None,
    proven: list[Proven] | None = None,
) -> DataDiffReport:
    """Compare both sides of a migration, of the tables that there are ``only`` those, where it is given.

    ``proven`` gets what is proven of tables that the stream carries. Raises OutOfOrder, WrongServer,
    TimedOut, UnknownName.
    """
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
            left_out=found.left_out | large_objects(ctx.source, ctx.destination),
        )
        if only is not None:
            subject.restrict(only)
        way = "back" if committed else "forward"
        part = [] if only is None else ["repaired", *(".".join(name) for name in sorted(only))]
        return _compare(
            ctx,
            subject,
            options,
            migration=record.name,
            state=record.state.value,
            stream=way,
            keep=lambda how: Kept(
                journal,
                record.id,
                Scope(way, how, (*options.patterns, *part)),
                anew=options.anew,
                within=WITHIN,
            ),
            proven=proven,
        )


def diff_databases(
    source: str, destination: str, emit: Emit, options: Options, *, store: str = ""
) -> DataDiffReport:
    """Compare any two databases, which no stream of ours connects.

    ``store`` is the url of one for comparisons like this, made where there is none. Raises ConfigError,
    Unreachable, UnknownName.
    """
    for side, url in (("source", source), ("destination", destination)):
        require_usable(url, side)
    config = Config(
        migration=MigrationSection(name=NAME),
        source=ServerSection(url=source),
        destination=ServerSection(url=destination),
    )
    with reading(config, None, emit) as ctx:
        wanted, missing = tables_of_both(ctx.source, ctx.destination)
        subject = Subject(wanted, missing, left_out=left_out(ctx.source, ctx.destination))
        with keeping(ctx, store, options) as keep:
            return _compare(ctx, subject, options, keep=keep)


def _require_streaming(state: State) -> None:
    if state in STATES:
        return
    following = Lifecycle(state).next()
    allowed = following.name if following else "nothing: the streams are gone"
    raise OutOfOrder(
        f"refused: the migration is {state}, and {NAME} compares from {STATES[0]} to {STATES[-1]}; "
        f"what is allowed now is {allowed}",
        hint="migrator advance" if following else "migrator diff --source URL --destination URL",
        state=state.value,
        allowed=[following.name] if following else [],
    )


def _compare(
    ctx: ReadContext,
    subject: Subject,
    options: Options,
    *,
    migration: str = "two databases",
    state: str = "",
    stream: str = "",
    keep: Callable[[str], Kept] | None = None,
    proven: list[Proven] | None = None,
) -> DataDiffReport:
    """Compare what the options choose of the subject's tables."""
    started = ctx.now()
    halted = threading.Event()
    applied = Applied(ctx, NAME, timeout=options.timeout, halted=halted)
    if options.patterns:
        choose(subject, options.patterns, roots(ctx.source))
    work = None
    if options.only_count:
        kept = keep(COUNT) if keep else None
        tables = counted_only(ctx, subject, options, applied.wait, halted)
        how, lsn, fix, resumed = COUNT, "", "", 0
    else:
        work = _Work(ctx, subject, options, keep)
        kept = work.kept
        tables = work.compare(applied, halted)
        how, lsn, resumed = work.pairs.language.function, work.lsn, work.resumed
        passing = fence.passing(ctx.destination, ctx.names)
        fix = script(ctx.destination.side, work.fixes, passing) if options.fix else ""
    tables += [TableDifference(name, "missing", note=note) for name, note in subject.missing.items()]
    tables.sort(key=lambda t: (ORDER.index(t.verdict), t.table))
    report = DataDiffReport(
        migration,
        state,
        stream=stream if applied.streaming else "",
        how=how,
        lsn=lsn,
        seconds=round(ctx.now() - started, 2),
        verdict=verdict_of(tuple(tables)),
        tables=tuple(tables),
        left_out=subject.left_out,
        resumed=resumed,
        fix=fix,
    )
    if kept is not None:
        kept.end(report)
    if proven is not None and work is not None:
        proven += work.proven
    return report


class _Work:
    """One comparison of rows; ``keep`` gives what is kept of it in the store, by how rows are hashed."""

    def __init__(
        self,
        ctx: ReadContext,
        subject: Subject,
        options: Options,
        keep: Callable[[str], Kept] | None,
    ) -> None:
        self._ctx, self._subject, self._options = ctx, subject, options
        self.pairs = Pairs(ctx)
        self.kept = keep(self.pairs.language.function) if keep else None
        self._found: dict[str, dict[int, Outcome]] = defaultdict(dict)
        self.resumed = 0
        self.fixes: list[str] = []
        self.proven: list[Proven] = []

    @property
    def lsn(self) -> str:
        """Return the oldest position that something was compared at."""
        positions = [o.lsn for units in self._found.values() for o in units.values() if o.lsn]
        return min(positions, key=lambda p: [int(part, 16) for part in p.split("/")], default="")

    def compare(self, applied: Applied, halted: threading.Event) -> list[TableDifference]:
        """Compare all tables; each with its verdict."""
        ctx = self._ctx
        pairs, refused = self.pairs.find(self._subject.wanted)
        units = [unit for pair in pairs for unit in self.pairs.units(pair, self._bounds(pair))]
        left = [unit for unit in units if not self._is_known(unit)]
        done = self.resumed = len(units) - len(left)

        def barrier() -> None:
            if applied.streaming:
                applied.wait(ctx.source, position(ctx.source))

        pace = Pace(
            ctx,
            NAME,
            applied,
            position,
            limit=ctx.config.cutover.max_lag,
            timeout=self._options.timeout,
            halted=halted,
        )

        def decided(unit: Unit, outcome: Outcome) -> None:
            nonlocal done
            done += 1
            self._found[unit.pair.label][unit.number] = outcome
            if self.kept:
                self.kept.keep(unit, outcome)
            ctx.emit(StepProgress(NAME, done, len(units), "units", unit.label))

        try:
            Comparison(
                ctx,
                self.pairs,
                jobs=self._options.jobs,
                rounds=self._options.rounds,
                barrier=barrier,
                pace=pace.wait,
                halted=halted,
                decided=decided,
            ).run(left)
        finally:
            if self.kept:
                self.kept.flush()
        tables = [TableDifference(name, "different", note=why) for name, why in refused.items()]
        return tables + [self._told(pair) for pair in pairs]

    def _bounds(self, pair: Pair) -> list[str]:
        return self.kept.bounds(pair) if self.kept else []

    def _is_known(self, unit: Unit) -> bool:
        outcome = self.kept.outcome(unit) if self.kept else None
        if outcome is not None:
            self._found[unit.pair.label][unit.number] = outcome
        return outcome is not None

    def _told(self, pair: Pair) -> TableDifference:
        outcomes = list(self._found[pair.label].values())
        sides = (self._ctx.source.side, self._ctx.destination.side)
        table = told(pair, outcomes, sides, self._options.rows)
        name = (pair.one.schema, pair.one.name)
        why = self._subject.unstreamed.get(name)
        if table.different:
            differences = tuple(d for o in outcomes for d in o.differences)
            if self._options.fix:
                self.fixes += statements(self._ctx.source, pair, differences)
            if not why:
                size = sum(o.rows[0] for o in outcomes)
                self.proven.append(Proven(name, pair.label, definition(pair), differences, table.more, size))
        if why and table.verdict != "equal":
            return replace(table, verdict="not_streamed", note=why)
        return table
