"""What can be asked of a migration: everything that writes to no server."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Self

from msgspec import structs

from migrator import plan
from migrator.check import Group, blocking, guarding
from migrator.config import LoadedConfig, SequencesSection, load
from migrator.connections import (
    observer,
    reading,
    require_pinned,
)
from migrator.copy_diff import copy_diff
from migrator.errors import (
    UnknownMigration,
    WorkflowChanged,
)
from migrator.events import Emit, ignore
from migrator.observe import (
    history,
    progress,
    status,
)
from migrator.parts import PARTS
from migrator.pg.conninfo import database_of
from migrator.pg.names import Names
from migrator.pg.session import shown
from migrator.preflight import Preflight
from migrator.report import (
    CheckReport,
    HistoryReport,
    MiscReport,
    PlanReport,
    ProgressReport,
    StatusReport,
    UnreplicatedReport,
)
from migrator.store.journal import Journal, MigrationRecord
from migrator.waivers import parse
from migrator.workflow import REFRESH, REHEARSAL, SWITCH_BACK, State, Transition

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from pathlib import Path

    from migrator.data_diff import Options
    from migrator.data_repair import Found
    from migrator.manual.definition import Form
    from migrator.manual.inventory import Part
    from migrator.report_copy_diff import CopyDiffReport
    from migrator.report_diff import DataDiffReport
    from migrator.report_diff_schema import SchemaDiffReport


class Answers:
    """One migration, as far as it is looked at."""

    def __init__(self, loaded: LoadedConfig, *, emit: Emit = ignore, confirm: Callable[[str], bool]) -> None:
        self.config = loaded.config
        self.state_url = loaded.state_url
        self.directory = loaded.directory
        self.name = loaded.config.migration.name
        self.emit = emit
        self.confirm = confirm
        self.preflight = Preflight(loaded.config.checks.waive, {})
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

    def waive(self, reasons: Iterable[str]) -> None:
        """Go on with what ``reasons`` name, as ``CODE=reason``. Raises UnusableWaiver."""
        self.preflight = Preflight(self.config.checks.waive, parse(reasons))

    def shift(self, values: int) -> None:
        """Have sequences set so many values further than the source's, whatever the configuration says."""
        self.config = structs.replace(self.config, sequences=SequencesSection(shift=values))

    def check(self, groups: Collection[str] = tuple(Group), before: str = "") -> CheckReport:
        """Run the checks that guard ``before``: by default what comes next.

        That is ``plan`` where nothing is planned. Raises UnknownName.
        """
        record = self._planned()
        before = plan.guarded(before) or (plan.path(record.state, None)[0].name if record else "plan")
        with reading(self.config, record, self.emit) as ctx:
            if record is not None:
                require_pinned(record, ctx)
            findings = self.preflight.look(ctx, before, self._journal, record, groups)
            if record is not None:
                self.journal().waive(record.id, self.preflight.given)
            return CheckReport(
                self.name,
                before,
                ctx.source_server.where,
                ctx.destination_server.where,
                len(guarding(before, groups)),
                tuple(findings),
                len(blocking(findings)),
            )

    def definition(
        self, parts: Collection[Part], form: Form, *, with_passwords: bool = False, empty: bool = False
    ) -> str:
        """Write what the source has as the definition of its new cluster, which need not exist.

        ``empty`` leaves out what is inside the database. Raises MissingPackage, StatementFailed.
        """
        from migrator.manual.definition import definition, read_inventory

        new_name = database_of(self.config.destination.url)
        with observer(self.config.source.url, "source", None) as session:
            inventory = read_inventory(session, parts, new_name=new_name, with_passwords=with_passwords)
        return definition(inventory, form, empty=empty)

    def unreplicated(self) -> MiscReport:
        """List what logical replication does not carry; looks at the source alone."""
        from migrator.pg.unreplicated import unreplicated

        record = self._planned()
        with observer(self.config.source.url, "source", record) as session:
            names = Names(record.name, record.key) if record else None
            found = unreplicated(session, self.config.tables, names)
        objects = tuple(UnreplicatedReport(o.kind, o.name, o.becomes, o.bytes) for o in found)
        return MiscReport(self.name, shown(self.config.source.url), objects)

    def preview_advance(self, to: State | None) -> PlanReport:
        """Say what ``advance`` would do: the same guard and the same probes, and nothing written."""
        record = self._known()
        ahead = plan.path(record.state, to)
        with reading(self.config, record, self.emit) as ctx:
            require_pinned(record, ctx)
            findings = self.preflight.look(ctx, ahead[0].name, self._journal, record)
            return plan.plan_report(ctx, record.state, findings, plan.forward(ctx, ahead))

    def preview_part(self, name: str) -> PlanReport:
        """Say what a part of the workflow would do, with its SQL, and write nothing."""
        part = PARTS[name]
        record = self._planned() if part.is_first else self._known()
        state = record.state if record else State.PLANNED
        steps = plan.part_path(state, part)
        with reading(self.config, record, self.emit) as ctx:
            if record is not None:
                require_pinned(record, ctx)
            plan.refuse_half_back(ctx, state)
            plan.refuse_untimely(ctx, state, part)
            before = part.transition if record else "plan"
            findings = self.preflight.look(ctx, before, self._journal, record)
            sql = plan.statements(ctx, steps)
            shown = record.state if record else None
            return plan.plan_report(ctx, shown, findings, plan.forward(ctx, (steps,)), sql=sql)

    def preview_rollback(self, to: State) -> PlanReport:
        """Say what ``rollback-to`` would undo, and write nothing."""
        record = self._known()
        behind = plan.path_back(record.state, to)
        with reading(self.config, record, self.emit) as ctx:
            transitions = plan.backward(ctx, behind)
            if behind and plan.is_given_away(ctx, record.state):
                transitions = plan.forward(ctx, (SWITCH_BACK,)) + transitions
            return plan.plan_report(ctx, record.state, [], transitions)

    def preview_refresh(self) -> PlanReport:
        """Say what ``refresh`` would do, and write nothing."""
        return self._preview_beside(REFRESH)

    def preview_rehearsal(self) -> PlanReport:
        """Say what ``rehearse`` would do, and write nothing."""
        return self._preview_beside(REHEARSAL)

    def status(self) -> StatusReport:
        """Say where the migration stands."""
        return status(self.config, self.journal(), self._known(check_workflow=False))

    def progress(self) -> ProgressReport:
        """Say how far the initial copy and the stream are."""
        return progress(self.config, self.journal(), self._known(check_workflow=False))

    def copy_diff(self, *, jobs: int | None = None, rounds: int = 5, timeout: float = 60) -> CopyDiffReport:
        """Count every table and compare every sequence on both sides. Raises OutOfOrder, TimedOut."""
        return copy_diff(
            self.config,
            self._known(check_workflow=False),
            self.emit,
            jobs=jobs or self.config.copy.jobs,
            rounds=rounds,
            timeout=timeout,
        )

    def diff(self, options: Options) -> DataDiffReport:
        """Compare the rows of both sides. Raises OutOfOrder, TimedOut, UnknownName."""
        return self.compared(options).report

    def compared(self, options: Options, *, only: Collection[tuple[str, str]] | None = None) -> Found:
        """Compare them, and keep what may be repaired; of all tables ``only`` those, where it is given."""
        from migrator.data_diff import diff_migration
        from migrator.data_repair import Found
        from migrator.diff.proven import Proven

        if not options.jobs:
            options = replace(options, jobs=self.config.copy.jobs)
        record, proven = self._known(check_workflow=False), list[Proven]()
        report = diff_migration(
            self.config, record, self.journal(), self.emit, options, only=only, proven=proven
        )
        return Found(report, tuple(proven))

    def diff_schema(self, *, shadow: bool = False) -> SchemaDiffReport:
        """Compare the schemas of both sides, object by object.

        With ``shadow`` one server prints both, for which a temporary database is made on it once that is
        confirmed. Raises OutOfOrder, WrongServer, Declined.
        """
        from migrator.diff_schema import diff_schema

        record = self._known(check_workflow=False)
        return diff_schema(self.config, record, self.emit, shadow=shadow, confirm=self.confirm)

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

    def _known(self, *, check_workflow: bool = True) -> MigrationRecord:
        record = self.journal().load(self.name)
        if check_workflow and record.workflow != plan.FINGERPRINT:
            raise WorkflowChanged(
                f"migration {self.name!r} was planned by a migrator with other steps",
                hint="finish it with that version, or plan a migration of another name",
            )
        return record

    def _planned(self) -> MigrationRecord | None:
        with suppress(UnknownMigration):
            return self.journal().find(self.name)
        return None
