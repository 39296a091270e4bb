"""SQL that is to be run, as lines for people: each statement under its side and step."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from migrator.render.units import count_text, visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrator.report import StatementReport

# As much as a question may hold; a schema has more.
SHOWN = 40


def statements(found: Sequence[StatementReport]) -> list[str]:
    """Return all statements; what a terminal would obey is written out."""
    lines: list[str] = []
    for (step, side), alike in groupby(found, lambda s: (s.step, s.side)):
        lines.append(f"-- {step}, on the {side}")
        for statement in alike:
            text = statement.text.strip()
            whole = text if text.endswith(";") else f"{text};"
            lines += [visible(line) for line in whole.split("\n")]
    return lines


def beginning(found: Sequence[StatementReport]) -> list[str]:
    """Return as many lines as one reads before answering, and how many there are more."""
    lines = statements(found)
    if len(lines) <= SHOWN + 1:
        return lines
    return [*lines[:SHOWN], f"-- and {count_text(len(lines) - SHOWN)} lines more; --show-sql shows all"]
