"""Keep what a comparison has found so far in the store, so that one that was cut short goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.outcomes import from_json, to_json
from migrator.diff.proven import definition
from migrator.store.held import Held
from migrator.store.records import UnitRecord

if TYPE_CHECKING:
    from datetime import timedelta

    from migrator.diff.run import Outcome
    from migrator.diff.units import Pair, Unit
    from migrator.report_diff import DataDiffReport
    from migrator.store.held import Rows
    from migrator.store.journal import Journal
    from migrator.store.records import Scope


class Kept:
    """What another run has found of the same subject, and what this one does."""

    def __init__(
        self,
        journal: Journal,
        migration_id: int,
        scope: Scope,
        *,
        anew: bool,
        within: timedelta,
    ) -> None:
        self._journal, self._migration_id = journal, migration_id
        self._id = journal.begin_comparison(migration_id, scope, anew=anew, within=within).id
        self._done = {(unit.table_name, unit.number): unit for unit in journal.units(self._id)}
        self._cuts = {unit.table_name: unit for unit in self._done.values()}
        self._held = Held(self._write)

    def bounds(self, pair: Pair) -> list[str]:
        """Return by what bounds the table was cut, if it is still the same."""
        known = self._cuts.get(pair.label)
        return known.bounds if known and known.definition == definition(pair) else []

    def outcome(self, unit: Unit) -> Outcome | None:
        """Return what was found of a unit, if its table is still the same."""
        known = self._done.get((unit.pair.label, unit.number))
        if known is None or known.definition != definition(unit.pair) or known.bounds != list(unit.bounds):
            return None
        return from_json(known.outcome)

    def keep(self, unit: Unit, outcome: Outcome) -> None:
        """Write down what was found of a unit, soon; what was not decided is looked for again."""
        if outcome.failure or outcome.unresolved:
            return
        self._held.put(
            (self._id, unit.pair.label, unit.number),
            {"definition": definition(unit.pair), "bounds": list(unit.bounds), "outcome": to_json(outcome)},
        )

    def flush(self) -> None:
        """Write what is not written yet."""
        self._held.flush()

    def _write(self, rows: Rows) -> None:
        self._journal.put_units(
            self._id, [UnitRecord(table, number, **values) for (_, table, number), values in rows.items()]
        )

    def end(self, report: DataDiffReport) -> None:
        """Write down the verdict."""
        self._journal.end_comparison(self._migration_id, self._id, report)
