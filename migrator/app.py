"""Wire everything together: the one place where configuration, store, servers and steps meet."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self

from migrator import plan
from migrator.check import run_checks
from migrator.config import LoadedConfig, load
from migrator.connections import (
    pin_of,
    reading,
    refuse_other_servers,
    require_pinned,
    writing,
)
from migrator.endurance import Endurance
from migrator.errors import (
    MigrationExists,
    UnknownMigration,
    WorkflowChanged,
)
from migrator.events import Emit, ignore
from migrator.observe import (
    history,
    next_command,
    progress,
    status,
    transition_reports,
)
from migrator.pg.catalog import wanted_tables
from migrator.recording import Recorder
from migrator.report import (
    AdvanceReport,
    FindingReport,
    HistoryReport,
    PlanReport,
    ProgressReport,
    StatusReport,
)
from migrator.runner import Runner
from migrator.store.journal import Journal, MigrationRecord
from migrator.workflow import REFRESH, REHEARSAL, SWITCH_BACK, State, Transition

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from migrator.context import ReadContext, WriteContext


class App:
    """One migration, as the command line sees it."""

    def __init__(self, loaded: LoadedConfig, *, emit: Emit = ignore, confirm: Callable[[str], bool]) -> None:
        self.config = loaded.config
        self.state_url = loaded.state_url
        self.name = loaded.config.migration.name
        self.emit = emit
        self.confirm = confirm
        self._journal: Journal | None = None

    @classmethod
    def open(
        cls,
        config_path: Path,
        migration: str | None = None,
        *,
        emit: Emit = ignore,
        confirm: Callable[[str], bool] = lambda _question: False,
    ) -> Self:
        """Read the configuration; store and servers are opened when they are first needed."""
        return cls(load(config_path, migration), emit=emit, confirm=confirm)

    def __enter__(self) -> Self:
        """Return the application itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the store."""
        if self._journal is not None:
            self._journal.close()

    def journal(self, *, create: bool = False) -> Journal:
        """Return the store, opened once; only ``plan`` makes one."""
        if create and self._journal is not None:
            self._journal.close()
            self._journal = None
        if self._journal is None:
            self._journal = Journal.open(self.state_url, create=create)
        return self._journal

    def state(self) -> State:
        """Return the migration's state. Raises UnknownMigration before it is planned."""
        return self.journal().load(self.name).state

    def plan(self, *, dry_run: bool) -> PlanReport:
        """Look at both servers; write the migration down as planned, unless ``dry_run``.

        Raises MigrationExists when it has already left ``planned``, ChecksBlocked when preflight
        finds something that must be fixed first.
        """
        record = None
        with suppress(UnknownMigration):
            record = self.journal().find(self.name)
        if record is not None and record.state is not State.PLANNED:
            raise MigrationExists(
                f"refused: migration {self.name!r} is planned already and stands at {record.state}",
                hint="migrator status",
                state=record.state.value,
            )
        with reading(self.config, record, self.emit) as ctx:
            refuse_other_servers(ctx, record)
            findings = run_checks(ctx, "plan")
            if not dry_run:
                plan.refuse_blocked(findings)
                self._write_plan(ctx, record, findings)
            transitions = transition_reports(State.PLANNED)
            state = None if dry_run and record is None else State.PLANNED
            return plan.plan_report(ctx, state, findings, transitions, written=not dry_run)

    def preview_advance(self, to: State | None) -> PlanReport:
        """Say what ``advance`` would do: the same guard and the same probes, and nothing written."""
        record = self._known()
        ahead = plan.path(record.state, to)
        with reading(self.config, record, self.emit) as ctx:
            require_pinned(record, ctx)
            findings = run_checks(ctx, ahead[0].name)
            return plan.plan_report(ctx, record.state, findings, plan.forward(ctx, ahead))

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
                    findings = run_checks(ctx, transition.name)
                    self.journal().record_findings(record.id, findings)
                    plan.refuse_blocked(findings)
                runner.advance(transition)

        self._alone(record, f"advance --to {to}" if to else "advance", work)
        return self._advanced(record.state, started)

    def preview_rollback(self, to: State) -> PlanReport:
        """Say what ``rollback-to`` would undo, and write nothing."""
        record = self._known()
        behind = plan.path_back(record.state, to)
        with reading(self.config, record, self.emit) as ctx:
            transitions = plan.backward(ctx, behind)
            if behind and plan.is_given_away(ctx, record.state):
                transitions = plan.forward(ctx, (SWITCH_BACK,)) + transitions
            return plan.plan_report(ctx, record.state, [], transitions)

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

    def preview_refresh(self) -> PlanReport:
        """Say what ``refresh`` would do, and write nothing."""
        return self._preview_beside(REFRESH)

    def refresh(self) -> AdvanceReport:
        """Take in the tables that the source has got since; the state stays.

        Raises OutOfOrder in another state than ``replicating`` and ``seq_synced``, or what the failing
        step raised.
        """
        return self._run_beside(REFRESH)

    def preview_rehearsal(self) -> PlanReport:
        """Say what ``rehearse`` would do, and write nothing."""
        return self._preview_beside(REHEARSAL)

    def rehearse(self) -> AdvanceReport:
        """Rehearse the cutover: fence, drain, measure, roll back; the state stays. Raises as ``refresh``."""
        return self._run_beside(REHEARSAL)

    def status(self) -> StatusReport:
        """Say where the migration stands."""
        return status(self.config, self.journal(), self._known(check_workflow=False))

    def progress(self) -> ProgressReport:
        """Say how far the initial copy and the stream are."""
        return progress(self.config, self.journal(), self._known(check_workflow=False))

    def history(self) -> HistoryReport:
        """Return everything that was tried."""
        return history(self.journal(), self._known(check_workflow=False))

    def _preview_beside(self, steps: Transition) -> PlanReport:
        record = self._known()
        beside = plan.beside(record.state, steps)
        with reading(self.config, record, self.emit) as ctx:
            require_pinned(record, ctx)
            plan.refuse_past_no_return(ctx, steps)
            return plan.plan_report(ctx, record.state, [], plan.forward(ctx, (beside,)))

    def _run_beside(self, steps: Transition) -> AdvanceReport:
        record = self._known()
        plan.beside(record.state, steps)
        started = time.monotonic()

        def work(ctx: WriteContext) -> None:
            plan.refuse_past_no_return(ctx, steps)
            Runner(self.journal(), record.id, ctx).run_steps(plan.beside(self._known().state, steps))

        self._alone(record, steps.name, work)
        return self._advanced(record.state, started)

    def _known(self, *, check_workflow: bool = True) -> MigrationRecord:
        record = self.journal().load(self.name)
        if check_workflow and record.workflow != plan.FINGERPRINT:
            raise WorkflowChanged(
                f"migration {self.name!r} was planned by a migrator with other steps",
                hint="finish it with that version, or plan a migration of another name",
            )
        return record

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

    def _advanced(self, came_from: State, started: float) -> AdvanceReport:
        state = self._known().state
        return AdvanceReport(
            self.name,
            came_from.value,
            state.value,
            round(time.monotonic() - started, 2),
            next_command(state),
        )
