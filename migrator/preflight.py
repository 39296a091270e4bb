"""Preflight: the checks that guard what comes next, with what is waived."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from migrator.check import Group, load_all, run_checks
from migrator.errors import Conflict
from migrator.events import StepNote
from migrator.pg import identities
from migrator.pg.catalog import wanted_tables
from migrator.pg.registry import Ownership, WritableRegistry
from migrator.waivers import refuse_unusable

# The check whose fixes may be applied by command.
IDENTITY = "replica_identity"

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrator.context import ReadContext
    from migrator.pg.session import WriteSession
    from migrator.report import FindingReport
    from migrator.store.journal import Journal, MigrationRecord


class Preflight:
    """Run checks, and remember what they found and what was waived.

    ``given`` are the waivers of the command; with those of the configuration and those that were given
    before they hold for this run, and from then on once the migration is planned.
    """

    def __init__(self, configured: Mapping[str, str], given: Mapping[str, str]) -> None:
        self.configured = configured
        self.given = given

    def look(
        self,
        ctx: ReadContext,
        before: str,
        journal: Journal | None,
        record: MigrationRecord | None,
        groups: Collection[str] = tuple(Group),
    ) -> list[FindingReport]:
        """Run the checks and write nothing down. Raises UnusableWaiver."""
        stored = journal.waivers(record.id) if journal is not None and record is not None else {}
        waivers = {**stored, **self.configured, **self.given}
        refuse_unusable(waivers, {name: check.waivable for name, check in load_all().items()})
        if journal is not None and record is not None:
            ctx = replace(ctx, compared=partial(journal.compared, record.id))
        return run_checks(ctx, before, waivers, groups)

    def guard(
        self, ctx: ReadContext, before: str, journal: Journal, record: MigrationRecord
    ) -> list[FindingReport]:
        """Run the checks, and write down what they found and what the command waives."""
        findings = self.look(ctx, before, journal, record)
        journal.waive(record.id, self.given)
        journal.record_findings(record.id, findings)
        return findings


def identify(ctx: ReadContext, session: WriteSession, findings: list[FindingReport]) -> list[str]:
    """Run the SQL of findings about replica identities on the source; return the statements.

    What each table had is recorded in our schema there, to be given back. Raises Conflict when a schema of
    our name is somebody else's, TimedOut when a table's lock is not to be had.
    """
    tables = {t.label: t for t in wanted_tables(ctx.source, ctx.config.tables)}
    todo = [f for f in findings if f.check == IDENTITY and f.on == "source" and f.subject in tables]
    if not todo:
        return []
    registry = WritableRegistry(session, ctx.names)
    match registry.ownership():
        case Ownership.ABSENT:
            registry.create()
        case Ownership.FOREIGN:
            raise Conflict(
                f"the source has a schema {ctx.names.schema} without our mark",
                hint="rename or drop it, or give the migration another name",
            )
    for finding in todo:
        identities.set_identity(registry, tables[finding.subject], finding.fix, ctx.sleep)
        ctx.emit(StepNote(IDENTITY, finding.fix))
    return [finding.fix for finding in todo]
