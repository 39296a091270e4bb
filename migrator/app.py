"""Wire everything together: the one place where configuration, store, servers and steps meet."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from migrator import plan
from migrator.answers import Answers
from migrator.check import Group
from migrator.connections import (
    pin_of,
    reading,
    refuse_other_servers,
    writing,
)
from migrator.endurance import Endurance
from migrator.errors import (
    MigrationExists,
)
from migrator.observe import (
    next_command,
    transition_reports,
)
from migrator.parts import PARTS
from migrator.pg.catalog import wanted_tables
from migrator.pg.session import WriteSession
from migrator.preflight import identify
from migrator.recording import Recorder
from migrator.report import (
    AdvanceReport,
    FindingReport,
    PlanReport,
)
from migrator.report_repair import RepairReport, together
from migrator.runner import Runner
from migrator.workflow import REFRESH, REHEARSAL, SWITCH_BACK, State, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.data_diff import Options
    from migrator.data_repair import Found
    from migrator.store.journal import MigrationRecord


class App(Answers):
    """One migration, as the command line sees it: to look at, and to be moved on."""

    def plan(self, *, dry_run: bool) -> PlanReport:
        """Look at both servers; write the migration down as planned, unless ``dry_run``.

        Raises MigrationExists when it has already left ``planned``, ChecksBlocked when preflight
        finds something that must be fixed first.
        """
        record = self._planned()
        if record is not None and record.state is not State.PLANNED:
            raise MigrationExists(
                f"refused: migration {self.name!r} is planned already and stands at {record.state}",
                hint="migrator status",
                state=record.state.value,
            )
        with reading(self.config, record, self.emit) as ctx:
            refuse_other_servers(ctx, record)
            findings = self.preflight.look(ctx, "plan", self._journal, record)
            if not dry_run:
                plan.refuse_blocked(findings)
                self._write_plan(ctx, record, findings)
            transitions = transition_reports(State.PLANNED)
            state = None if dry_run and record is None else State.PLANNED
            return plan.plan_report(ctx, state, findings, transitions, written=not dry_run)

    def advance(self, to: State | None) -> AdvanceReport:
        """Run the next transition, or all up to ``to``.

        Raises OutOfOrder, LeaseHeld, WrongServer, ChecksBlocked, or what the failing step raised.
        """
        record = self._known()
        ahead = plan.path(record.state, to)
        started = time.monotonic()

        def work(ctx: WriteContext) -> None:
            # Whoever held the lock before us may have moved the state.
            left = plan.path(self._known().state, to or ahead[-1].target)
            runner = Runner(self.journal(), record.id, ctx)
            plan.refuse_half_back(ctx, self._known().state)
            for transition in left:
                if not plan.is_past_checks(ctx, transition):
                    plan.refuse_blocked(self.preflight.guard(ctx, transition.name, self.journal(), record))
                runner.advance(transition)

        self._alone(record, f"advance --to {to}" if to else "advance", work)
        return self._advanced(record.state, started)

    def rollback(self, to: State) -> AdvanceReport:
        """Undo back to ``to``, last step first; once the cutover is committed, switch back before that.

        A cutover that was cut short after its commit is completed first. Raises OutOfOrder when ``to`` is
        ahead, GateClosed when there is no way back.
        """
        record = self._known()
        plan.path_back(record.state, to)
        started = time.monotonic()

        def work(ctx: WriteContext) -> None:
            state = self._known().state
            behind = plan.path_back(state, to)
            runner = Runner(self.journal(), record.id, ctx)
            if behind and plan.is_given_away(ctx, state):
                if state is not SWITCH_BACK.source:
                    runner.advance(behind[0])
                runner.run_steps(SWITCH_BACK)
            for transition in behind:
                runner.undo(transition, self._known().state)

        self._alone(record, f"rollback-to {to}", work, timeline=False)
        return self._advanced(record.state, started)

    def refresh(self) -> AdvanceReport:
        """Take in the tables that the source has got since; the state stays.

        Raises OutOfOrder in another state than ``replicating`` and ``seq_synced``, or what the failing
        step raised.
        """
        return self._run_beside(REFRESH)

    def rehearse(self) -> AdvanceReport:
        """Rehearse the cutover: fence, drain, measure, roll back; the state stays. Raises as ``refresh``."""
        return self._run_beside(REHEARSAL)

    def run_part(self, name: str) -> AdvanceReport:
        """Run the part of the workflow that has that name, and move the state where it is the last.

        The first part plans a migration that is not planned yet. Raises OutOfOrder when it is not its turn,
        and whatever ``plan`` and ``advance`` do.
        """
        part = PARTS[name]
        if part.is_first and self._planned() is None:
            self.plan(dry_run=False)
        record = self._known()
        plan.part_path(record.state, part)
        started = time.monotonic()

        def work(ctx: WriteContext) -> None:
            state = self._known().state
            steps = plan.part_path(state, part)
            plan.refuse_half_back(ctx, state)
            plan.refuse_untimely(ctx, state, part)
            if not plan.is_past_checks(ctx, part.whole):
                plan.refuse_blocked(self.preflight.guard(ctx, part.transition, self.journal(), record))
            runner = Runner(self.journal(), record.id, replace(ctx, leads=not part.stops_short))
            if steps.source is steps.target:
                runner.run_steps(steps)
            else:
                runner.advance(steps)

        self._alone(record, name, work)
        return self._advanced(record.state, started)

    def identify(self) -> list[str]:
        """Give tables of the source the replica identity that preflight asks for; return the SQL that ran.

        What they had is given back by ``clean_up`` and by ``rollback-to planned``.
        """
        record, ran = self._planned(), list[str]()
        before = plan.path(record.state, None)[0].name if record else "plan"

        def work(ctx: ReadContext, session: WriteSession) -> None:
            found = self.preflight.look(ctx, before, self._journal, record, (Group.REPL,))
            ran.extend(identify(ctx, session, found))

        if record is not None:
            self._alone(record, "check-repl --apply", lambda ctx: work(ctx, ctx.write_source))
        else:
            with (
                reading(self.config, None, self.emit) as ctx,
                WriteSession.open(
                    self.config.source.url, side="source", application=ctx.names.application
                ) as session,
            ):
                work(ctx, session)
        return ran

    def repair(
        self, found: Found, options: Options, *, write: Callable[[Iterator[str]], str]
    ) -> RepairReport:
        """Repair what ``compared`` has found, on the side that follows, and compare these tables once more.

        ``write`` puts what will be done and what undoes it into a file, before anything is done, and returns
        its name. Raises OutOfOrder, Refused, LeaseHeld, TimedOut.
        """
        from migrator.data_repair import NAME, Repair

        record = self._known(check_workflow=False)
        repair = Repair(found, self.journal(), record.id, write=write, timeout=options.timeout)

        def work(ctx: WriteContext) -> None:
            state = self._known(check_workflow=False).state
            plan.refuse_half_back(ctx, state)
            repair.run(ctx, state)

        self._alone(record, NAME, work)
        again = self.compared(replace(options, patterns=()), only={table.name for table in found.proven})
        return RepairReport(
            self.name, found.side, repair.file, repair.tables, together(found.report, again.report)
        )

    def _run_beside(self, steps: Transition) -> AdvanceReport:
        record = self._known()
        plan.beside(record.state, steps)
        started = time.monotonic()

        def work(ctx: WriteContext) -> None:
            plan.refuse_past_no_return(ctx, steps)
            Runner(self.journal(), record.id, ctx).run_steps(plan.beside(self._known().state, steps))

        self._alone(record, steps.name, work)
        return self._advanced(record.state, started)

    def _alone(
        self,
        record: MigrationRecord,
        command: str,
        work: Callable[[WriteContext], None],
        *,
        timeline: bool = True,
    ) -> None:
        connect = partial(
            writing,
            self.config,
            record,
            self.journal(),
            command,
            emit=Recorder(self.journal().hold(), record.id, self.emit),
            confirm=self.confirm,
            timeline=timeline,
        )
        Endurance(self.config.connections.retry_for, self.emit).run(connect, work)

    def _write_plan(
        self,
        ctx: ReadContext,
        record: MigrationRecord | None,
        findings: list[FindingReport],
    ) -> None:
        journal = self.journal(create=record is None)
        write: Callable[..., object] = (
            partial(journal.replan, record.id) if record else partial(journal.create, self.name)
        )
        write(
            key=ctx.names.key,
            source=pin_of(ctx.source_server),
            destination=pin_of(ctx.destination_server),
            workflow=plan.FINGERPRINT,
            tables=[t.label for t in wanted_tables(ctx.source, self.config.tables)],
            findings=findings,
        )
        journal.waive(self._known().id, self.preflight.given)

    def _advanced(self, came_from: State, started: float) -> AdvanceReport:
        state = self._known().state
        return AdvanceReport(
            self.name,
            came_from.value,
            state.value,
            round(time.monotonic() - started, 2),
            next_command(state),
        )
