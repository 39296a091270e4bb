"""The value objects that ``migrator diff --schema`` answers with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from migrator.report import Report

DIFFERENT, UNDECIDED = 4, 5
# The verdicts, worst first, and up to which of them something is not the same.
ORDER = ("only on the source", "only on the destination", "differs", "expected", "printed otherwise")
DIFFERENCES = ORDER[:3]
LEFT_ASIDE = (
    "publications and subscriptions",
    "roles, their memberships and settings, privileges on parameters",
    "tablespaces",
    "large objects",
    "encoding and locale of the database",
    "positions of sequences",
    "secrets in options of foreign servers and user mappings",
    "the database's default_transaction_read_only",
    "members of extensions, but for the privileges on them",
    "what was made on tables of extensions and PostgreSQL's own",
    "comments and security labels on constraints and triggers that a partition has from its root",
    "security labels on attributes of composite types",
    "migrator's own objects",
)


@dataclass(frozen=True)
class PropertyDifference(Report):
    """One property of an object, as each side has it: text, number, true, list of texts, or None.

    ``noise`` says why two versions mean the same by it, ``expected`` why the migration has it so for now.
    """

    name: str
    source: Any
    destination: Any
    noise: str = ""
    expected: str = ""


@dataclass(frozen=True)
class ObjectDifference(Report):
    """One object that is not told alike; of one that is on one side only all properties are listed.

    ``verdict`` is one of ``ORDER``.
    """

    kind: str
    name: str
    verdict: str
    properties: tuple[PropertyDifference, ...]
    expected: str = ""


@dataclass(frozen=True)
class SchemaDiffReport(Report):
    """Both schemas compared. ``source`` and ``destination`` say where, with the version.

    ``objects`` is how many there are on either side; ``not_compared`` names what could not be, with the
    reason, and ``left_aside`` what never is. ``shadow`` says whether one server printed both.
    """

    source: str
    destination: str
    objects: int
    seconds: float
    differences: tuple[ObjectDifference, ...]
    not_compared: tuple[str, ...]
    left_aside: tuple[str, ...] = LEFT_ASIDE
    shadow: bool = False
    migration: str = ""
    state: str = ""

    def count(self, *verdicts: str) -> int:
        """Return how many objects have one of these verdicts."""
        return sum(d.verdict in verdicts for d in self.differences)

    @property
    def exit_code(self) -> int:
        """Return 0 for equal, 4 for different, 5 where that cannot be said of everything, or not yet."""
        if self.count(*DIFFERENCES):
            return DIFFERENT
        return UNDECIDED if self.not_compared or self.count("expected") else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the answer as one JSON-ready object, with how many of each verdict there are."""
        counts = {verdict.replace(" ", "_"): self.count(verdict) for verdict in ORDER}
        return {**super().as_dict(), "counts": counts, "exit_code": self.exit_code}
