"""Compare two inventories of a schema, object by object. Knows no server.

Both come ordered by kind and name, so that no more than what differs has to be kept.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from migrator.diff.printed import explain
from migrator.pg.versions import major_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# What the server makes from what it has parsed: the only properties that two servers may print differently.
PRINTED = frozenset(
    [
        "arguments",
        "attributes",
        "body",
        "bound",
        "columns",
        "default",
        "definition",
        "generated",
        "returns",
        "type",
        "using",
    ]
) | {"base type", "partition key", "with check"}
# What a role may not see of an object is told so.
HIDDEN = '"hidden":true'


class Thing(NamedTuple):
    """One object as its server tells it: ``told`` is an object of JSON, ``of`` what it is a part of."""

    kind: str
    name: str
    of: str | None
    told: str

    @property
    def address(self) -> str:
        """Return kind and name, by which inventories are ordered."""
        return f"{self.kind} {self.name}"


class Verdict(StrEnum):
    """What is to be said of an object that is not told alike."""

    ONLY_SOURCE = "only on the source"
    ONLY_DESTINATION = "only on the destination"
    DIFFERS = "differs"
    EXPECTED = "expected"
    NOISE = "printed otherwise"


@dataclass(frozen=True)
class Change:
    """One property; ``noise`` says why both servers mean the same by it, ``expected`` why it may differ."""

    name: str
    source: Any
    destination: Any
    noise: str = ""
    expected: str = ""

    @property
    def is_undecided(self) -> bool:
        """Return whether one server that printed both could find them equal."""
        return not (self.noise or self.expected) and self.name in PRINTED


@dataclass(frozen=True)
class Difference:
    """One object that is only on one side, with all that it is, or has properties that differ."""

    kind: str
    name: str
    changes: tuple[Change, ...]
    on: str = ""
    expected: str = ""

    @property
    def is_undecided(self) -> bool:
        """Return whether one server that printed both sides' could say more of it."""
        return not self.on and any(c.is_undecided for c in self.changes)

    @property
    def verdict(self) -> Verdict:
        """Return the worst that is to be said of it."""
        if self.expected:
            return Verdict.EXPECTED
        if self.on:
            return Verdict.ONLY_SOURCE if self.on == "source" else Verdict.ONLY_DESTINATION
        if not all(c.noise or c.expected for c in self.changes):
            return Verdict.DIFFERS
        return Verdict.EXPECTED if any(c.expected for c in self.changes) else Verdict.NOISE

    def settled(self, printed: dict[str, Any], by: str) -> Difference:
        """Return it as one server prints both: ``printed`` is what that of side ``by`` tells of the other's.

        What is not printed, but told by the catalogs, stays as it is: a restored dump may have changed it.
        """

        def settle(change: Change) -> Change:
            own = change.source if by == "source" else change.destination
            if change.is_undecided and printed.get(change.name) == own:
                return replace(change, noise="printed alike by one server")
            return change

        return replace(self, changes=tuple(settle(c) for c in self.changes))


def nothing_expected(_kind: str, _name: str, _property: str, _on: str) -> str:
    """Return that every difference is one."""
    return ""


@dataclass
class SchemaComparison:
    """What is found of two inventories, kind after kind.

    The versions are ``server_version_num`` of both sides. ``expected`` returns the reason why an object of
    that kind and name may be on one side only (``on``), or a property of it may differ.
    """

    source_version: int
    destination_version: int
    expected: Callable[[str, str, str, str], str] = nothing_expected
    objects: int = 0
    hidden: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    # What is on one side only takes all its parts with it.
    _lonely: set[str] = field(default_factory=set)

    def add(self, source: Iterable[Thing], destination: Iterable[Thing]) -> None:
        """Compare the objects of a kind, given by both sides in their order."""
        for one, other in pairs(source, destination):
            self.objects += 1
            self.hidden += {t.address for t in (one, other) if t is not None and HIDDEN in t.told}
            if one is None or other is None:
                self._add_lonely(one or other, "destination" if one is None else "source")
            elif one.told != other.told and (changes := self._changes(one, other)):
                self.differences.append(Difference(one.kind, one.name, changes))

    def _add_lonely(self, thing: Thing | None, side: str) -> None:
        if thing is None:
            return
        self._lonely.add(thing.address)
        if thing.of in self._lonely:
            return
        told = json.loads(thing.told)
        self.differences.append(
            Difference(
                thing.kind,
                thing.name,
                tuple(
                    Change(name, *((value, None) if side == "source" else (None, value)))
                    for name, value in told.items()
                ),
                side,
                self.expected(thing.kind, thing.name, "", side),
            )
        )

    def _changes(self, one: Thing, other: Thing) -> tuple[Change, ...]:
        here, there = json.loads(one.told), json.loads(other.told)
        found = []
        for name in dict.fromkeys((*here, *there)):
            mine, theirs = here.get(name), there.get(name)
            if mine == theirs or _told_elsewhere(name, mine, theirs):
                continue
            noise = self._noise(one.kind, name, mine, theirs)
            found.append(Change(name, mine, theirs, noise, self.expected(one.kind, one.name, name, "")))
        return tuple(found)

    def _noise(self, kind: str, name: str, mine: Any, theirs: Any) -> str:
        versions = (self.source_version, self.destination_version)
        if kind == "extension" and name == "version":
            newer = theirs if versions[1] >= versions[0] else mine
            across = major_of(versions[0]) != major_of(versions[1])
            if _installed(mine) == _installed(theirs):
                return "another default version"
            return "the newer server's own version" if across and newer.endswith(" (default)") else ""
        if name not in PRINTED:
            return ""
        if isinstance(mine, list) and isinstance(theirs, list) and len(mine) == len(theirs):
            reasons = {explain(a, b, *versions) for a, b in zip(mine, theirs, strict=True) if a != b}
            return "" if "" in reasons else ", ".join(sorted(reasons))
        if isinstance(mine, str) and isinstance(theirs, str):
            return explain(mine, theirs, *versions)
        return ""


def _told_elsewhere(name: str, mine: Any, theirs: Any) -> bool:
    """Return whether the columns are not even the same ones, which they say for themselves."""
    return name == "column order" and sorted(mine or ()) != sorted(theirs or ())


def _installed(version: str) -> str:
    return version.partition(" (default")[0]


def pairs(
    source: Iterable[Thing], destination: Iterable[Thing]
) -> Iterator[tuple[Thing | None, Thing | None]]:
    """Yield every object of either side, with the one of the same kind and name on the other, or None."""
    here, there = iter(source), iter(destination)
    one, other = next(here, None), next(there, None)
    while one is not None or other is not None:
        if other is None or (one is not None and one.address < other.address):
            yield one, None
            one = next(here, None)
        elif one is None or other.address < one.address:
            yield None, other
            other = next(there, None)
        else:
            yield one, other
            one, other = next(here, None), next(there, None)
