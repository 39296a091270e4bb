"""How the values of a column are made comparable: by its type on both sides."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.diff.content import Column

# Types by their object ids, which are the same everywhere: what a type calls equal prints alike.
EXACT = {
    16, 17, 20, 21, 23, 650, 774, 829, 869, 1082, 1083, 1114, 1184, 2950,
}  # fmt: skip
BYTES, TEXTS, PADDED, NUMERIC, FLOATS = 17, {25, 1043}, 1042, 1700, {700, 701}
# Types with floating-point numbers inside, by what gives their bytes: before 12 a text has fewer digits.
FLOATS_INSIDE = {
    600: "point_send", 601: "lseg_send", 602: "path_send", 603: "box_send", 604: "poly_send",
    628: "line_send", 718: "circle_send",
} | dict.fromkeys((629, 719, 1017, 1018, 1019, 1020, 1021, 1022, 1027), "array_send")  # fmt: skip


class Way(Enum):
    """How a column's values are made comparable."""

    AS_IS = auto()
    COLLATED = auto()
    FLOAT = auto()
    FLOATS = auto()
    TEXT = auto()
    ROW = auto()


def way(one: Column, other: Column) -> Way:
    """Return how to compare the values of a column that both sides have."""
    plain = one.plain and other.plain
    if (one.type, one.modifier) != (other.type, other.modifier):
        return Way.TEXT if plain and PADDED not in (one.oid, other.oid) else Way.ROW
    bounded = one.modifier != -1
    if one.oid in EXACT or (one.oid == NUMERIC and bounded):
        return Way.AS_IS
    if one.oid in TEXTS or (one.oid == PADDED and bounded):
        return Way.COLLATED
    if one.oid in FLOATS:
        return Way.FLOAT
    if one.oid in FLOATS_INSIDE:
        return Way.FLOATS
    return Way.TEXT if plain and one.oid != PADDED else Way.ROW
