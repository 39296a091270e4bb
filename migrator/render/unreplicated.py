"""Turn what no stream carries into lines: kind by kind, what becomes of it, then the objects."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from migrator.render.units import bytes_text, columns, count_text, visible

if TYPE_CHECKING:
    from migrator.report import MiscReport

# More of one kind than so many tell nothing new on a screen.
SHOWN = 10


def unreplicated(report: MiscReport, verbose: bool = False) -> list[str]:
    """Return the kinds with what becomes of them, and below each its objects: the first ones, or all."""
    kinds = [
        (kind, becomes, list(alike))
        for (kind, becomes), alike in groupby(report.objects, lambda one: (one.kind, one.becomes))
    ]
    heads = columns(
        [
            [kind, count_text(len(group)) if any(one.name for one in group) else "", becomes]
            for kind, becomes, group in kinds
        ]
    )
    lines = [f"{visible(report.migration)}  {visible(report.source)}"]
    for head, (_kind, _becomes, group) in zip(heads, kinds, strict=True):
        shown = group if verbose or len(group) <= SHOWN + 1 else group[:SHOWN]
        lines.append(head)
        lines += columns(
            [
                [visible(one.name), "" if one.bytes is None else bytes_text(one.bytes)]
                for one in shown
                if one.name
            ],
            indent="      ",
        )
        if len(shown) < len(group):
            lines.append(f"      and {count_text(len(group) - len(shown))} more; -v shows all")
    return lines
