"""Both servers write WAL that can be decoded.

Why it matters: without wal_level = logical no slot can be created: on the source the migration cannot begin,
on the destination the cutover cannot prepare the way back and is given up.
How to fix: alter system set wal_level = logical, and restart the server; the destination may do without where
[cutover] reverse is "auto" or "off".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, directions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL

WAL_LEVEL = "select current_setting('wal_level')"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Read the setting of whoever is to publish."""
    for way, severity in directions(ctx):
        level = way.source.value(WAL_LEVEL)
        if level != "logical":
            yield Finding(
                severity,
                way.source.side,
                f"wal_level is {level}",
                "alter system set wal_level = logical; -- then restart the server",
                way.source.side,
            )
