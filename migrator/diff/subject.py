"""What a comparison is about: which tables, how they are compared, how far each can be trusted."""

from __future__ import annotations

from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from migrator.errors import UnknownName

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from migrator.diff.content import Name
    from migrator.diff.pairs import Wanted


@dataclass(frozen=True)
class Options:
    """What is compared, and how: ``rows`` is how many that differ are shown of a table.

    ``timeout`` bounds each wait for the stream, in seconds. ``anew`` forgets what a run before has found that
    was cut short.
    """

    patterns: tuple[str, ...] = ()
    jobs: int = 4
    rows: int = 5
    rounds: int = 10
    timeout: float = 60
    only_count: bool = False
    fix: bool = False
    anew: bool = False


@dataclass
class Subject:
    """The tables of one comparison, and how far each can be trusted."""

    wanted: list[Wanted]
    missing: dict[str, str] = field(default_factory=dict)
    unstreamed: dict[Name, str] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    def restrict(self, names: Collection[Name]) -> None:
        """Leave only tables of these names."""
        self.wanted = [table for table in self.wanted if table.name in names]
        self.missing, self.left_out = {}, {}


def choose(subject: Subject, patterns: tuple[str, ...], roots: Mapping[Name, Name]) -> None:
    """Leave in the subject what any of the patterns names. Raises UnknownName for one that names nothing.

    A partition is named by the table at its root too: ``roots`` has it.
    """

    def names_of(table: Wanted) -> list[str]:
        return [".".join(name) for name in (table.name, roots.get(table.name)) if name]

    names = [name for table in subject.wanted for name in names_of(table)] + list(subject.missing)
    for pattern in patterns:
        if not any(_matches(name, pattern) for name in names):
            raise UnknownName(
                f"no table that is compared is called {pattern!r}",
                hint="patterns are those of the shell, on schema.table or the table's name alone",
            )
    subject.wanted = [t for t in subject.wanted if any(_any(name, patterns) for name in names_of(t))]
    subject.missing = {name: why for name, why in subject.missing.items() if _any(name, patterns)}
    subject.left_out = {}


def _any(name: str, patterns: Iterable[str]) -> bool:
    return any(_matches(name, pattern) for pattern in patterns)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name.partition(".")[2], pattern)
