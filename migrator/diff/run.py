"""Compare units on both sides until each is decided: scan by snapshots, settle what is suspect, go on.

The source's snapshot is taken first and the destination's after it has applied all that the source's saw. So
what differs is what is different, and what the destination got in between: little, however long the scans
take. For as long as snapshots are held, vacuum keeps what they see; so they are changed for new ones.
"""

from __future__ import annotations

from collections import Counter
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from migrator.diff.judge import NOTHING, Suspect, Verdict
from migrator.diff.proven import MOST_ROWS
from migrator.diff.scan import Scanned, Scanner
from migrator.diff.settle import Group, Settler
from migrator.diff.snapshots import Reader, Snapshots
from migrator.diff.stopping import stop

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from migrator.context import ReadContext
    from migrator.diff.judge import Values
    from migrator.diff.pairs import Pairs
    from migrator.diff.units import Unit

# Seconds for which snapshots are held, but for what has begun by then.
SNAPSHOT_AGE = 600.0
# How often a unit is begun that was rewritten meanwhile, or whose suspects were all equal and not all it had.
ATTEMPTS = 3
# How many suspects are settled at a time.
AT_ONCE = 5000
LOCK_TIMEOUT = "10s"


@dataclass(frozen=True)
class Difference:
    """A proven one: the key, or nothing where there is none; its row on each side as it was last seen.

    ``copies`` says how many of them there are, of which one at most has a key. Behind the first of a unit
    rows are not kept, and only these say which side has one. ``identity`` is what it was looked for by: the
    key, or the row's hash.
    """

    key: tuple[str, ...]
    source: Values | None
    destination: Values | None
    copies: tuple[int, int]
    identity: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """What is known of a unit: its rows on both sides, what is proven different, what stayed undecided.

    There may be ``more`` differences than are told; ``failure`` says why it was not compared. ``lsn`` is the
    position of the source's snapshot. ``moving`` are those of the undecided that are known.
    """

    rows: tuple[int, int] = (0, 0)
    differences: tuple[Difference, ...] = ()
    unresolved: int = 0
    more: bool = False
    failure: str = ""
    lsn: str = ""
    moving: tuple[tuple[str, ...], ...] = ()


class Comparison:
    """Compares units, ``jobs`` scans at a time, the largest units first.

    ``barrier`` waits until the destination has applied all that the source has written so far; where there
    is no stream it does nothing. ``pace`` waits until a unit may begin, but not for longer than the moment
    it is given, and says whether it may. ``decided`` is told each unit with its outcome. An error or an
    interrupt stops all statements.
    """

    def __init__(
        self,
        ctx: ReadContext,
        pairs: Pairs,
        *,
        jobs: int,
        rounds: int,
        barrier: Callable[[], None],
        pace: Callable[[float], bool],
        halted: Event,
        decided: Callable[[Unit, Outcome], None],
    ) -> None:
        self._ctx, self._pairs, self._jobs, self._rounds = ctx, pairs, jobs, rounds
        self._barrier, self._pace = barrier, pace
        self._halted, self._decided = halted, decided
        self._attempts: Counter[tuple[str, int]] = Counter()

    def run(self, units: list[Unit]) -> None:
        """Compare all units. Raises what a lost session raises."""
        if not units:
            return
        with ExitStack() as stack:

            def opened() -> Reader:
                reader = Reader.open(self._ctx, self._ctx.names.observer)
                stack.callback(reader.close)
                reader.set("lock_timeout", LOCK_TIMEOUT)
                self._pairs.language.prepare(reader)
                return reader

            readers = [opened() for _ in range(min(self._jobs, 2 * len(units)))]
            scanner = Scanner(readers)
            stack.callback(scanner.close)
            left = sorted(units, key=lambda unit: -unit.pages)
            try:
                while left:
                    left = self._compare_some(left, scanner, readers[0])
            except BaseException:
                self._halted.set()
                raise

    def _compare_some(self, units: list[Unit], scanner: Scanner, both: Reader) -> list[Unit]:
        """Compare as many units as one snapshot may last; return those that are left."""
        # While nothing is held for it.
        self._pace(inf)
        snapshots = Snapshots()
        try:
            holders = Reader.open(self._ctx, self._ctx.names.observer)
            snapshots.hold(holders, self._barrier)
            lsn = snapshots.lsn
            scanned = self._scan(units, scanner, snapshots)
        finally:
            snapshots.release()
        settled = self._settle(scanned, both)
        again = []
        for unit, found in scanned.items():
            if found.is_equal:
                continue
            outcome = _outcome(found, settled[unit], lsn)
            self._attempts[unit.pair.label, unit.number] += 1
            unfinished = outcome.failure or (found.more and not outcome.differences)
            if unfinished and self._attempts[unit.pair.label, unit.number] < ATTEMPTS:
                again.append(self._pairs.renewed(unit))
            else:
                self._decided(unit, outcome)
        return [unit for unit in units if unit not in scanned] + again

    def _settle(self, scanned: dict[Unit, Scanned], both: Reader) -> dict[Unit, _Settled]:
        """Settle all suspects, some at a time, so that not all their values are held at once."""
        settler = Settler(both, self._barrier, self._halted, self._ctx.now)
        known = {unit: _Settled() for unit in scanned}
        left = [(unit, identity) for unit, found in scanned.items() for identity in found.suspects]
        for begin in range(0, len(left), AT_ONCE):
            groups: dict[Unit, Group] = {}
            for unit, identity in left[begin : begin + AT_ONCE]:
                if not known[unit].failure:
                    groups.setdefault(unit, Group(unit.pair, [])).suspects.append(Suspect(identity))
            settler.settle(list(groups.values()), self._rounds)
            for unit, group in groups.items():
                known[unit].add(unit, group)
        return known

    def _scan(self, units: list[Unit], scanner: Scanner, snapshots: Snapshots) -> dict[Unit, Scanned]:
        until = self._ctx.now() + SNAPSHOT_AGE
        found: dict[Unit, Scanned] = {}

        def work(unit: Unit) -> None:
            if (self._ctx.now() >= until and found) or not self._pace(until):
                return
            if self._halted.is_set():
                raise CancelledError
            found[unit] = scanner.scan(unit, snapshots)

        with ThreadPoolExecutor(self._jobs + 1) as pool:
            futures = {pool.submit(work, unit): unit for unit in units}
            try:
                for future in as_completed(futures):
                    future.result()
                    unit = futures[future]
                    if unit in found and found[unit].is_equal:
                        self._decided(unit, Outcome(found[unit].rows, lsn=snapshots.lsn))
            except BaseException:
                self._halted.set()
                stop(futures, scanner.cancel)
                raise
        return found


@dataclass
class _Settled:
    """What became of a unit's suspects."""

    differences: list[Difference] = field(default_factory=list)
    moving: list[tuple[str, ...]] = field(default_factory=list)
    failure: str = ""

    def add(self, unit: Unit, group: Group) -> None:
        self.failure = group.failure
        self.moving += [s.identity for s in group.suspects if s.verdict is Verdict.UNRESOLVED]
        for suspect in group.suspects:
            if suspect.verdict is Verdict.DIFFERENT:
                shown = len(self.differences) < MOST_ROWS
                self.differences.append(_difference(unit, suspect, with_values=shown))


def _outcome(found: Scanned, settled: _Settled, lsn: str) -> Outcome:
    return Outcome(
        rows=found.rows,
        differences=tuple(settled.differences),
        unresolved=len(settled.moving) + (found.more and not settled.differences),
        more=found.more,
        failure=found.failure or settled.failure,
        lsn=lsn,
        moving=tuple(settled.moving),
    )


def _difference(unit: Unit, suspect: Suspect, *, with_values: bool) -> Difference:
    rows = [seen.rows if seen else NOTHING.rows for seen in (suspect.source, suspect.destination)]
    key = suspect.identity if unit.pair.asked.key else ()
    here, there = (next(iter(found), None) if with_values else None for found in rows)
    return Difference(key, here, there, (rows[0].total(), rows[1].total()), suspect.identity)
