"""What became of the units of tables, as the tables' verdicts."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from migrator.diff.run import Difference, Outcome
from migrator.report_diff import RowDifference, TableDifference

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.diff.units import Pair

# How many rows of a table that were not decided are named.
MOVING = 10_000


def told(pair: Pair, outcomes: Iterable[Outcome], sides: tuple[str, str], sample: int) -> TableDifference:
    """Return a table's verdict, with a sample of the rows that differ.

    ``sides`` are the names of the publisher's side and the other one.
    """
    found = list(outcomes)
    rows = {side: sum(o.rows[number] for o in found) for number, side in enumerate(sides)}
    differences = [d for o in found for d in o.differences]
    unresolved = sum(o.unresolved for o in found)
    failure = next((o.failure for o in found if o.failure), "")
    if differences:
        verdict = "different"
    elif failure:
        verdict = "not_compared"
    else:
        verdict = "unresolved" if unresolved else "equal"
    return TableDifference(
        pair.label,
        verdict,
        source=None if failure else rows["source"],
        destination=None if failure else rows["destination"],
        different=len(differences),
        more=any(o.more for o in found if o.differences) or bool(failure and differences),
        unresolved=unresolved,
        note=failure,
        rows=tuple(_row(pair, d, sides) for d in differences[:sample]),
        moving=tuple(identity for o in found for identity in o.moving)[:MOVING],
    )


def _row(pair: Pair, difference: Difference, sides: tuple[str, str]) -> RowDifference:
    names = [c.name for c in pair.one.columns]
    values = {sides[0]: difference.source, sides[1]: difference.destination}
    copies = dict(zip(sides, difference.copies, strict=True))
    here, there = values["source"], values["destination"]
    both = all(copies.values()) and difference.key
    only = "" if both else max(copies, key=lambda side: copies[side])
    blank = (None,) * len(names)
    columns = [
        (name, one, other)
        for name, one, other in zip(names, here or blank, there or blank, strict=True)
        if (only and (here or there) is not None) or one != other
    ]
    key = dict(zip(pair.asked.key, difference.key, strict=False))
    return RowDifference(key, tuple(columns), only)


def to_json(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as what a store can keep."""
    return asdict(outcome)


def from_json(kept: dict[str, Any]) -> Outcome:
    """Return an outcome that a store has kept."""
    differences = tuple(
        Difference(
            key=tuple(d["key"]),
            source=None if d["source"] is None else tuple(d["source"]),
            destination=None if d["destination"] is None else tuple(d["destination"]),
            copies=(d["copies"][0], d["copies"][1]),
            identity=tuple(d.get("identity", ())),
        )
        for d in kept["differences"]
    )
    rows = (kept["rows"][0], kept["rows"][1])
    moving = tuple(tuple(identity) for identity in kept.get("moving", ()))
    return Outcome(**{**kept, "rows": rows, "differences": differences, "moving": moving})
