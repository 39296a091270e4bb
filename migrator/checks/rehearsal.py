"""The cutover was rehearsed, and not long ago.

Why it matters: a rehearsal holds the writers back as the cutover will, and lets them go again. It shows
who would be in the way and how long the pause is, while that costs nothing.
How to fix: migrator rehearse. Nothing stops a cutover without one.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.switchover.records import handed_over, rehearsal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("cut_over",)
FIX = "migrator rehearse"
FRESH = 24 * 3600


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for the record of the last one."""
    if handed_over(ctx) is not None:
        return
    last = rehearsal(ctx.source, ctx.names)
    if last is None:
        yield Finding(Severity.WARN, "source", "the cutover was never rehearsed", FIX)
    elif last["age_seconds"] > FRESH:
        age = timedelta(seconds=round(last["age_seconds"]))
        yield Finding(Severity.WARN, "source", f"the last rehearsal was {age} ago", FIX)
    elif last["total_ms"] > ctx.config.cutover.max_pause * 1000:
        yield Finding(
            Severity.WARN,
            "source",
            f"the last rehearsal took {last['total_ms']:.0f} ms, longer than [cutover] max_pause",
            "find a quieter moment, or raise [cutover] max_pause",
        )
