"""What a demo came to, as one object and as a few lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from migrator.demo.proof import Comparison

DIFFERENT = 4
SHOWN = 10


@dataclass(frozen=True)
class Outcome:
    """The end state, the time it took, and the proof."""

    state: str
    seconds: float
    source_version: str
    destination_version: str
    comparison: Comparison
    acknowledged: int
    missing: int
    in_doubt: int
    longest_pause_ms: float

    @property
    def exit_code(self) -> int:
        """Return 0 if the migration ended and nothing is missing or different."""
        whole = self.state == "cleaned" and not self.missing and not self.comparison.differences
        return 0 if whole else DIFFERENT

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome as one JSON-ready object."""
        return {
            "state": self.state,
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
        }

    def lines(self) -> list[str]:
        """Return the outcome for people."""
        compared, different = self.comparison, self.comparison.differences
        lines = [
            f"{self.state} in {self.seconds:.0f} s: "
            f"PostgreSQL {self.source_version} → {self.destination_version}",
            f"  compared by content   {compared.tables} tables, {compared.rows:,} rows: "
            + (f"{len(different)} objects differ" if different else "equal"),
            *(f"    {difference}" for difference in different[:SHOWN]),
            f"  acknowledged commits  {self.acknowledged:,}: "
            + (f"{self.missing} are missing" if self.missing else "all found"),
        ]
        if self.in_doubt:
            lines.append(f"  commits in doubt      {self.in_doubt}: never answered")
        lines.append(f"  longest pause         {self.longest_pause_ms:.0f} ms between two commits")
        return lines
