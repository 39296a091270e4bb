"""The part of the journal about preflight: what was found, and what is waived."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Connection, delete, insert, select

from migrator.report import FindingReport
from migrator.store.database import fetch, reading, upsert, writing
from migrator.store.lease import this_user
from migrator.store.models import finding, waiver
from migrator.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

TOLD = tuple(FindingReport.__dataclass_fields__)


class FindingJournal(Store):
    """What the newest preflight found, and the findings that somebody goes on with."""

    def record_findings(self, migration_id: int, findings: Iterable[FindingReport]) -> None:
        """Replace what preflight found."""
        with writing(self._engine) as connection:
            put_findings(connection, migration_id, findings)

    def findings(self, migration_id: int) -> list[FindingReport]:
        """Return what the newest preflight found, in its order."""
        with reading(self._engine) as connection:
            return fetch(connection, FindingReport, finding, finding.c.migration_id == migration_id)

    def waive(self, migration_id: int, reasons: Mapping[str, str]) -> None:
        """Write down what is waived, by whom and why; a code that is there gets the new reason."""
        rows = [
            {"migration_id": migration_id, "code": code, "reason": why, "operator": this_user()}
            for code, why in reasons.items()
        ]
        if rows:
            with writing(self._engine) as connection:
                statement = upsert(connection, waiver)
                changed = {name: statement.excluded[name] for name in ("reason", "operator")}
                key = ["migration_id", "code"]
                connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), rows)

    def waivers(self, migration_id: int) -> dict[str, str]:
        """Return the reasons that were written down, by code."""
        with reading(self._engine) as connection:
            statement = select(waiver.c.code, waiver.c.reason).where(waiver.c.migration_id == migration_id)
            return {row.code: row.reason for row in connection.execute(statement)}


def put_findings(connection: Connection, migration_id: int, findings: Iterable[FindingReport]) -> None:
    """Replace the findings of a migration within the caller's transaction."""
    connection.execute(delete(finding).where(finding.c.migration_id == migration_id))
    rows = [
        {"migration_id": migration_id, **{name: str(getattr(found, name)) for name in TOLD}}
        for found in findings
    ]
    if rows:
        connection.execute(insert(finding), rows)
