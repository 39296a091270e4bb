"""Whether the two schemas have gone apart since the destination got its own.

Each side's journal holds what its own server printed of its schema: the source's when it was dumped, the
destination's when the copy was complete. What has changed on one side only is drift, and what one side does
not have. Two servers of different versions are never compared by what they print, except to find equal what
both print alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrator.context import FORWARD
from migrator.diff.schema import fingerprint
from migrator.pg.registry import Registry, WritableRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.diff.schema import Fingerprint
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

SCHEMA = "schema"
SHOWN = 10


@dataclass(frozen=True)
class Drift:
    """What has changed at all since it was recorded, and what of it is not the same on both sides."""

    changed: set[str]
    apart: list[str]


@dataclass(frozen=True)
class Side:
    """A side's schema as it is now, what of it is not as it was recorded, and what was accepted there."""

    objects: Fingerprint
    changed: set[str]
    accepted: set[str]


def record(session: WriteSession, names: Names, accepted: list[str] | None = None) -> int:
    """Write a side's schema into its journal, instead of what is there; return how many objects it has.

    ``accepted`` is what the operator takes as it is, in the words of ``Drift.apart``.
    """
    found = fingerprint(session)
    objects = {name: known.definition for name, known in found.items()}
    WritableRegistry(session, names).record(SCHEMA, {"objects": objects, "accepted": accepted or []})
    return len(found)


def recorded(session: ReadSession, names: Names) -> dict[str, Any] | None:
    """Return what a side's journal holds of its schema, or None."""
    return Registry(session, names).read(SCHEMA)


def find(ctx: ReadContext) -> Drift:
    """Return what has drifted; nothing where nothing was recorded."""
    mine = _look(ctx.source, ctx.names)
    theirs = _look(ctx.destination, ctx.names) if mine else None
    if mine is None or theirs is None:
        return Drift(set(), [])
    here, there = mine.objects, theirs.objects
    told = []
    for name in sorted(here.keys() | there.keys()):
        one, other = here.get(name), there.get(name)
        if one == other:
            continue
        if one is None or other is None:
            told.append(f"{name} (not on the {(ctx.source if one is None else ctx.destination).side})")
        elif (name in mine.changed) != (name in theirs.changed):
            side = ctx.source.side if name in mine.changed else ctx.destination.side
            told.append(f"{name} (changed on the {side})")
        elif one.names != other.names:
            told.append(f"{name} (not the same ones)")
    return Drift(mine.changed | theirs.changed, [line for line in told if line not in theirs.accepted])


def no_schema_has_drifted(ctx: ReadContext) -> Iterator[str]:
    """No table, column, type, index, constraint, function, trigger, view, policy or grant has changed alone.

    Once the writes are at the destination its schema is its own: the way back asks for equal columns only.
    """
    if ctx.roles != FORWARD:
        return
    if found := find(ctx).apart:
        more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
        yield (
            f"the schemas have gone apart since the copy: {', '.join(found[:SHOWN])}{more}; make the same "
            "change on the other side, or accept them as they are: migrator refresh"
        )


def _look(session: ReadSession, names: Names) -> Side | None:
    known = recorded(session, names)
    if known is None:
        return None
    # The record, of ten thousand tables some tens of megabytes, is not kept.
    before: dict[str, str] = known["objects"]
    now = fingerprint(session)
    changed = {
        name
        for name in before.keys() | now.keys()
        if before.get(name) != (now[name].definition if name in now else None)
    }
    return Side(now, changed, set(known["accepted"]))
