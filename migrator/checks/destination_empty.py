"""The destination holds nothing of somebody else's.

Why it matters: rows and objects that are already there would collide with those that come, and
migrator never drops what it did not make.
How to fix: create an empty database, or drop what is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.made import user_objects
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB
WAIVABLE = False


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List user objects that we did not make."""
    found = user_objects(Registry(ctx.destination, ctx.names))
    if found:
        names = ", ".join(f"{kind} {identity}" for kind, identity in found[:5])
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"{ctx.destination_server.where} already holds user objects: {names}"
            + (" and more" if len(found) > 5 else ""),
            "create an empty database and name it as the destination",
        )
