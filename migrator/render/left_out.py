"""Turn what a comparison left out into lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.render.units import plural

if TYPE_CHECKING:
    from collections.abc import Mapping

REASONS = {
    "excluded": "excluded by [tables]",
    "unlogged": "unlogged and not carried",
    "new": "made since the cutover and not carried back",
    "foreign": "foreign: another server has the rows",
    "extension": "of an extension: its rows are the extension's",
    "large_object": "beside the tables",
}
NOUNS = {"large_object": "large object"}


def left_out(tables: Mapping[str, int]) -> list[str]:
    """Return a line for each reason, with how many tables, or what else, it is the reason of."""
    return [
        f"  not compared: {plural(count, NOUNS.get(why, 'table'))} {REASONS[why]}"
        for why, count in tables.items()
    ]
