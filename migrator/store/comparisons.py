"""The part of the journal about comparisons of rows: the units that are done, and the last verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from migrator.store.database import fetch, reading, upsert, writing
from migrator.store.models import comparison, comparison_unit, now
from migrator.store.records import ComparisonRecord, UnitRecord
from migrator.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

KEY = ("comparison_id", "table_name", "number")


class ComparisonJournal(Store):
    """What comparisons found; units are kept of the newest one only."""

    def begin_comparison(self, migration_id: int, subject: str, *, anew: bool = False) -> ComparisonRecord:
        """Return the newest comparison where it has the same subject and did not end, or else a new one."""
        with writing(self._engine) as connection:
            mine = comparison.c.migration_id == migration_id
            last = fetch(connection, ComparisonRecord, comparison, mine, newest=1)
            if not anew and last and last[0].subject == subject and last[0].finished_at is None:
                return last[0]
            old = select(comparison.c.id).where(mine)
            connection.execute(delete(comparison_unit).where(comparison_unit.c.comparison_id.in_(old)))
            values = {"migration_id": migration_id, "subject": subject, "verdict": "", "lsn": ""}
            connection.execute(insert(comparison), values)
            return fetch(connection, ComparisonRecord, comparison, mine, newest=1)[0]

    def put_units(self, comparison_id: int, units: Iterable[UnitRecord]) -> None:
        """Write down units that are done; one that is there gets what is new."""
        rows: list[dict[str, Any]] = [{"comparison_id": comparison_id, **vars(unit)} for unit in units]
        if not rows:
            return
        with writing(self._engine) as connection:
            statement = upsert(connection, comparison_unit)
            changed = {name: statement.excluded[name] for name in ("definition", "bounds", "outcome")}
            connection.execute(statement.on_conflict_do_update(index_elements=KEY, set_=changed), rows)

    def units(self, comparison_id: int) -> list[UnitRecord]:
        """Return the units that are done."""
        with reading(self._engine) as connection:
            where = comparison_unit.c.comparison_id == comparison_id
            return fetch(connection, UnitRecord, comparison_unit, where)

    def end_comparison(self, comparison_id: int, verdict: str, lsn: str) -> None:
        """Write down what a comparison came to."""
        with writing(self._engine) as connection:
            connection.execute(
                update(comparison)
                .where(comparison.c.id == comparison_id)
                .values(verdict=verdict, lsn=lsn, finished_at=now())
            )

    def last_comparison(self, migration_id: int) -> ComparisonRecord | None:
        """Return the newest comparison that came to an end, or None."""
        where = (comparison.c.migration_id == migration_id, comparison.c.finished_at.is_not(None))
        with reading(self._engine) as connection:
            found = fetch(connection, ComparisonRecord, comparison, *where, newest=1)
        return found[0] if found else None
