"""Preflight: the checks that guard what comes next, with what is waived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Group, load_all, run_checks
from migrator.waivers import refuse_unusable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from migrator.context import ReadContext
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
        return run_checks(ctx, before, waivers, groups)

    def guard(
        self, ctx: ReadContext, before: str, journal: Journal, record: MigrationRecord
    ) -> list[FindingReport]:
        """Run the checks, and write down what they found and what the command waives."""
        findings = self.look(ctx, before, journal, record)
        journal.waive(record.id, self.given)
        journal.record_findings(record.id, findings)
        return findings
