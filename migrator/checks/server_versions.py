"""Both servers are of versions that this migration can work between, without faults known to harm it.

Why it matters: logical replication exists since PostgreSQL 10, and a dump of a newer server need not
load into an older one. Some minor releases lose changes, or end a stream, for reasons that later ones have
mended; a minor update needs a restart and nothing else.
How to fix: migrate to a destination that is at least as new as the source; update to the minor release that
is named, or a later one, before the migration.
When to ignore: what the message describes cannot happen in this database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.check import Finding, Group, Severity, directions
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.server import Server

GROUP = Group.DB


class Fault(NamedTuple):
    """A fault of servers that publish; the minor releases, by major, that mended it and that brought it."""

    what: str
    mended: dict[int, int]
    brought: dict[int, int]


# From the release notes. Majors that were given up before a fault was mended are not told: nothing helps.
FAULTS = (
    Fault(
        "an UPDATE that leaves a long value of a key as it is arrives without that key, and stops the stream",
        {10: 21, 11: 16, 12: 11, 13: 7, 14: 3},
        {},
    ),
    Fault(
        "changes are lost to the stream when a table that is written to is altered by a command that lets "
        "writers go on, such as alter publication or create statistics",
        {13: 21, 14: 18, 15: 13, 16: 9, 17: 5},
        {},
    ),
    Fault(
        "many changes of the schema at once end the stream with invalid memory alloc request size",
        {13: 22, 14: 19, 15: 14, 16: 10, 17: 6},
        {13: 21, 14: 18, 15: 13, 16: 9, 17: 5},
    ),
)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the versions with each other and with the known faults."""
    for server in (ctx.source_server, ctx.destination_server):
        if not server.has(Feature.LOGICAL_REPLICATION):
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"version {server.version_text} has no logical replication",
                "PostgreSQL 10 or newer",
            )
    if ctx.destination_server.major < ctx.source_server.major:
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"version {ctx.destination_server.version_text} is older than the source's "
            f"{ctx.source_server.version_text}",
            f"a destination of version {ctx.source_server.major} or newer",
        )
    for way, _severity in directions(ctx):
        yield from _faults(way.source_server)


def _faults(server: Server) -> Iterator[Finding]:
    major, minor = server.major, server.version % 100
    found = [f for f in FAULTS if f.brought.get(major, 0) <= minor < f.mended.get(major, 0)]
    if found:
        enough = max(f.mended[major] for f in FAULTS if major in f.mended)
        yield Finding(
            Severity.WARN,
            server.side,
            f"version {server.version_text} has known faults: {'; '.join(f.what for f in found)}",
            f"update the {server.side} to {major}.{enough} or a later {major}",
        )
