"""Every extension of the source can be created on the destination, no older than here.

Why it matters: its types and functions are in the way of everything that uses them. The destination creates
the version that is the default there; an older one may lack what the schema uses. Some extensions are only
created where their library is preloaded.
How to fix: install the extension's package on the destination's host, in the source's version or a newer
one; preload its library where it needs that, and restart.
When to ignore: the version is older, and nothing uses what came later.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.preload import preloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

INSTALLED = "select extname as name, extversion as version from pg_catalog.pg_extension order by 1"
AVAILABLE = "select name, default_version as version from pg_catalog.pg_available_extensions"
PRELOADED = "shared_preload_libraries"
# Their create extension raises an error otherwise.
NEED_PRELOADING = ("citus", "pg_cron", "pg_squeeze", "pgaudit", "pglogical", "timescaledb")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare by name, then by version and by what is preloaded."""
    loaded = preloaded(ctx.destination, PRELOADED)
    available = {row.name: row.version for row in ctx.destination.rows(AVAILABLE)}
    for row in ctx.source.rows(INSTALLED):
        if row.name not in available:
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"extension {row.name} {row.version} is not available on the destination",
                f"install the package that brings {row.name} on the destination's host",
            )
            continue
        if row.name in NEED_PRELOADING and row.name not in loaded:
            wanted = sql.SQL(", ").join(map(sql.Literal, [*loaded, row.name])).as_string()
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"extension {row.name} can be created only where its library is preloaded, and the "
                "destination does not preload it",
                f"alter system set {PRELOADED} = {wanted}; -- then restart the server",
                "destination",
            )
        if available[row.name] != row.version:
            older = _number(available[row.name]) < _number(row.version)
            yield Finding(
                Severity.WARN if older else Severity.INFO,
                row.name,
                f"extension {row.name} is {row.version} here and {'only ' if older else ''}"
                f"{available[row.name]} there",
                f"install {row.name} {row.version} or newer on the destination's host" if older else "",
            )


def _number(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]
