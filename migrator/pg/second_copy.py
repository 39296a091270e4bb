"""How long copying once more what no stream carries would hold writes back in the cutover."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.catalog import Table
    from migrator.pg.registry import Registry

# What one connection copies in a second, where nothing was copied yet that says otherwise.
BYTES_PER_SECOND = 40e6
# Below so many bytes a copy says more of the network than of the tables.
TELLING = 1_000_000
# Every page of every large object is looked at, not read: so many objects, and bytes, in a second.
OBJECTS_PER_SECOND = 100e3
SEEN_PER_SECOND = 1e9

MEASURED = """
select coalesce(sum(bytes), 0)::float8 as bytes, coalesce(sum(seconds), 0)::float8 as seconds
from {schema}.unlogged
"""


def tables_pause(registry: Registry, tables: Iterable[Table]) -> float:
    """Return the seconds that copying the unlogged ``tables`` again may take.

    By the speed of the copy that was, where it is recorded in the destination's registry.
    """
    size = sum(t.bytes for t in tables)
    measured = registry.rows(MEASURED)
    if measured and measured[0].bytes > TELLING and measured[0].seconds > 0:
        return float(size * measured[0].seconds / measured[0].bytes)
    return size / BYTES_PER_SECOND


def objects_pause(objects: int, size: int) -> float:
    """Return the seconds that looking for changed large objects may take, without copying any."""
    return objects / OBJECTS_PER_SECOND + size / SEEN_PER_SECOND
