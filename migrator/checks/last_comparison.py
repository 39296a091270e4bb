"""When the rows of both sides were compared last, and with what verdict.

Why it matters: what differs before the cutover is the application's to live with after it.
How to fix: a difference is told with its first rows; migrator rollback-to schema_copied copies again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.switchover import proof
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("cut_over",)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for the proof that was made when the writes came back; before a first cutover there is none."""
    if handed_over(ctx) is not None:
        return
    last = proof.proof(ctx.mirrored())
    if last is not None:
        age = timedelta(seconds=round(last["age_seconds"]))
        differs = last["verdict"] == proof.DIFFERENT
        yield Finding(
            Severity.WARN if differs else Severity.INFO,
            "rows",
            f"last compared {age} ago: {proof.told(last)}",
        )
