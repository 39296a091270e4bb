"""Unlogged tables are known and decided about.

Why it matters: they write no WAL, so the stream cannot carry their rows.
How to fix: alter table … set logged, or [tables] unlogged = "skip" to leave their rows behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Severity
from migrator.pg.catalog import all_tables, selected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

BEFORE = ("plan", "copy_schema", "cut_over")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for unlogged tables that ``[tables]`` takes in."""
    skipped = ctx.config.tables.unlogged == "skip"
    for t in all_tables(ctx.source):
        if t.persistence == "u" and t.kind == "r" and selected(t.schema, t.name, ctx.config.tables):
            yield Finding(
                Severity.WARN if skipped else Severity.BLOCK,
                t.label,
                f"table {t.label} is unlogged: its rows are not migrated",
                f'alter table {t.label} set logged; -- or [tables] unlogged = "skip"',
            )
