"""Unlogged tables are known and decided about.

Why it matters: they write no WAL, so the stream cannot carry their rows. With [tables] unlogged = "copy"
their rows are copied, and all of them once more in the cutover, while writes are held back.
How to fix: alter table … set logged, or [tables] unlogged = "copy", or "skip" to leave their rows behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size
from migrator.pg.catalog import unlogged_tables
from migrator.pg.registry import Registry
from migrator.pg.second_copy import tables_pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.catalog import Table

GROUP = Group.MISC
BEFORE = ("plan", "copy_schema", "cut_over")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for unlogged tables that ``[tables]`` takes in."""
    policy = ctx.config.tables.unlogged
    tables = unlogged_tables(ctx.source, ctx.config.tables, sizes=True)
    if policy == "copy" and tables:
        yield _copied(ctx, tables)
        return
    for t in tables:
        yield Finding(
            Severity.WARN if policy == "skip" else Severity.BLOCK,
            t.label,
            f"table {t.label} ({Size(t.bytes).text}) is unlogged: its rows are not migrated",
            f'alter table {t.label} set logged; -- or [tables] unlogged = "copy" or "skip"',
            "source",
        )


def _copied(ctx: ReadContext, tables: list[Table]) -> Finding:
    pause = tables_pause(Registry(ctx.destination, ctx.names), tables)
    fits = pause < ctx.config.cutover.max_pause
    size = Size(sum(t.bytes for t in tables))
    return Finding(
        Severity.INFO if fits else Severity.WARN,
        ", ".join(t.label for t in tables[:5]) + (f" and {len(tables) - 5} more" if len(tables) > 5 else ""),
        f"{len(tables)} unlogged tables, {size.text}, are copied with the data and again in the cutover, "
        f"while writes are held back: about {pause:.1f} s more"
        + ("" if fits else f", and [cutover] max_pause is {ctx.config.cutover.max_pause:g} s"),
        "" if fits else 'raise [cutover] max_pause, or [tables] unlogged = "skip"',
    )
