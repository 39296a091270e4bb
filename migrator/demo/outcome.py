"""What a demo came to, as one object and as a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrator.render.units import count_text, plural, seconds_text

if TYPE_CHECKING:
    from migrator.demo.proof import Comparison

DIFFERENT = 4
SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """The states gone through, the time it took, and the proof."""

    states: tuple[str, ...]
    seconds: float
    source_version: str
    destination_version: str
    comparison: Comparison
    acknowledged: int
    missing: int
    in_doubt: int
    longest_pause_ms: float
    cutover_pause_ms: float | None

    @property
    def state(self) -> str:
        """Return the state that the migration came to."""
        return self.states[-1] if self.states else "not planned"

    @property
    def exit_code(self) -> int:
        """Return 0 if the migration ended and nothing is missing or different."""
        whole = self.state == "cleaned" and not self.missing and not self.comparison.differences
        return 0 if whole else DIFFERENT

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as one JSON-ready object."""
        return {
            "state": self.state,
            "states": list(self.states),
            "seconds": round(self.seconds, 1),
            "source_version": self.source_version,
            "destination_version": self.destination_version,
            "tables_compared": self.comparison.tables,
            "rows_compared": self.comparison.rows,
            "differences": [difference.as_dict() for difference in self.comparison.differences],
            "acknowledged": self.acknowledged,
            "missing": self.missing,
            "in_doubt": self.in_doubt,
            "longest_pause_ms": round(self.longest_pause_ms, 1),
            "cutover_pause_ms": None if self.cutover_pause_ms is None else round(self.cutover_pause_ms, 1),
        }

    def lines(self) -> list[str]:
        """Return the outcome for people."""
        compared, different = self.comparison, self.comparison.differences
        lines = [
            f"{self.state} in {seconds_text(self.seconds)}: "
            f"PostgreSQL {self.source_version} → {self.destination_version}",
            f"  states gone through   {' → '.join(self.states)}",
            f"  tables compared       {plural(compared.tables, 'table')}, every value of "
            f"{plural(compared.rows, 'row')}: "
            + (f"{plural(len(different), 'object')} not equal" if different else "all equal"),
            *(f"    {difference}" for difference in different[:SHOWN]),
            f"  acknowledged commits  {count_text(self.acknowledged)} while migrating: "
            + (f"{self.missing} missing" if self.missing else "all found on the destination"),
        ]
        if self.in_doubt:
            lines.append(f"  commits in doubt      {self.in_doubt}: the answer to COMMIT never came")
        if self.cutover_pause_ms is not None:
            lines.append(
                f"  pause at the cutover  {self.cutover_pause_ms:.0f} ms from the last commit on the "
                "source to the first on the destination"
            )
        lines.append(
            f"  longest pause         {self.longest_pause_ms:.0f} ms between two commits, at any time"
        )
        return lines
