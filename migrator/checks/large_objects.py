"""Large objects are known and decided about.

Why it matters: logical replication does not carry them. With [tables] large_objects = "copy" they are
copied, with their oids, and in the cutover, while writes are held back, those that have changed since.
How to fix: [tables] large_objects = "copy", or "ignore" to leave them behind; or make them bytea columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size
from migrator.pg.large_objects import amount, foreign_large_objects
from migrator.pg.registry import Registry
from migrator.pg.second_copy import objects_pause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC
BEFORE = ("plan", "copy_schema", "cut_over")
SUBJECT = "large objects"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Count them, and estimate what they add to the pause."""
    policy = ctx.config.tables.large_objects
    there = amount(ctx.source)
    what = f"the source holds {there.objects} large objects, {Size(there.bytes).text}"
    if policy == "copy":
        yield from _collisions(ctx)
    if there.objects and policy == "copy":
        pause = objects_pause(there.objects, there.bytes)
        fits = pause < ctx.config.cutover.max_pause
        yield Finding(
            Severity.INFO if fits else Severity.WARN,
            SUBJECT,
            f"{what}: they are copied with the data, and in the cutover, while writes are held back, those "
            f"that have changed since: about {pause:.1f} s more to find them, and the time to copy them"
            + ("" if fits else f"; [cutover] max_pause is {ctx.config.cutover.max_pause:g} s"),
            "" if fits else 'raise [cutover] max_pause, or [tables] large_objects = "ignore"',
        )
    elif there.objects:
        yield Finding(
            Severity.WARN if policy == "ignore" else Severity.BLOCK,
            SUBJECT,
            f"{what}, which are not migrated",
            '[tables] large_objects = "copy" or "ignore"',
        )


def _collisions(ctx: ReadContext) -> Iterator[Finding]:
    found = foreign_large_objects(Registry(ctx.destination, ctx.names))
    if found:
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"it holds large objects that migrator did not make: {', '.join(map(str, found))}",
            " ".join(f"select lo_unlink({oid});" for oid in found),
            "destination",
        )
