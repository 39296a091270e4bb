"""Look at suspects on both sides, in turn, until each is equal or proven different (``judge.py``)."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrator.diff.judge import Seen, Suspect, Verdict
from migrator.diff.visibility import await_older
from migrator.errors import StatementFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from threading import Event

    from migrator.diff.content import Content
    from migrator.diff.snapshots import Reader
    from migrator.diff.units import Pair
    from migrator.pg.session import ReadSession

# Rows asked for at once, and up to how many suspects the source is looked at more often than it must be.
AT_ONCE, FEW = 500, 100
LOOKS = 3


@dataclass
class Group:
    """The suspects of one unit; ``failure`` says why they could not be looked at."""

    pair: Pair
    suspects: list[Suspect]
    failure: str = ""
    left: list[Suspect] = field(default_factory=list)


class Settler:
    """Settles suspects through a session on each side. ``barrier`` has the destination apply all so far."""

    def __init__(
        self,
        both: Reader,
        barrier: Callable[[], None],
        halted: Event,
        now: Callable[[], float],
    ) -> None:
        self._both, self._barrier, self._halted, self._now = both, barrier, halted, now

    def settle(self, groups: list[Group], rounds: int) -> None:
        """Look at all suspects, at most so many times; what is still moving stays unresolved."""
        source, destination = self._both
        for group in groups:
            group.left = list(group.suspects)
        self._first(groups)
        for number in range(rounds):
            groups = [g for g in groups if g.left and not g.failure]
            if not groups:
                return
            few = sum(len(g.left) for g in groups) <= FEW
            often = LOOKS if number and few else 0
            self._barrier()
            looks = [[self._see(source, g, 0) for g in groups] for _ in range(often)]
            here = [self._see(destination, g, 1) for g in groups]
            looks += [[self._see(source, g, 0) for g in groups] for _ in range(often)]
            settled = await_older(source, self._halted, self._now)
            after = [self._see(source, g, 0) for g in groups]
            for place, group in enumerate(groups):
                if group.failure:
                    continue
                for each, suspect in enumerate(group.left):
                    between = tuple(look[place][each] for look in looks)
                    suspect.look(here[place][each], after[place][each], between, settled=settled)
                group.left = [s for s in group.left if s.verdict is Verdict.UNRESOLVED]

    def _first(self, groups: Iterable[Group]) -> None:
        for group in groups:
            for suspect, seen in zip(group.left, self._see(self._both.source, group, 0), strict=True):
                suspect.source = seen

    def _see(self, session: ReadSession, group: Group, number: int) -> list[Seen]:
        """Look at a group's suspects on one side; what cannot be looked at is as good as nothing."""
        table: Content = (group.pair.one, group.pair.other)[number]
        found: list[Seen] = []
        for begin in range(0, len(group.left), AT_ONCE):
            some = group.left[begin : begin + AT_ONCE]
            if self._halted.is_set():
                raise CancelledError
            seen = [Counter[tuple[str, tuple[str | None, ...]]]() for _ in some]
            try:
                rows = session.rows(group.pair.asked.now(table, [s.identity for s in some]))
            except StatementFailed as error:
                group.failure = error.message
                rows = []
            for row in rows:
                seen[row.number - 1][row.xmin, tuple(row.values)] += row.copies
            found += map(Seen, seen)
        return found
