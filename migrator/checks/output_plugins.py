"""Both servers trust pgoutput to decode their WAL.

Why it matters: since their updates of August 2026 servers refuse every output plugin that
output_plugin_libraries does not name, so a list without pgoutput lets no slot be created.
How to fix: add pgoutput to the list, and reload the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, directions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL

# The setting came with minor releases: where it is not there, every plugin is trusted.
LISTED = "select current_setting('output_plugin_libraries', true)"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Read the list that a session of our role is given."""
    for way, severity in directions(ctx):
        listed = way.source.value(LISTED)
        if listed is None:
            continue
        names = [name.strip().strip('"') for name in listed.split(",") if name.strip()]
        if "pgoutput" not in names:
            wanted = sql.SQL(", ").join(map(sql.Literal, [*names, "pgoutput"])).as_string()
            yield Finding(
                severity,
                way.source.side,
                f"output_plugin_libraries does not name pgoutput: {listed or 'it is empty'}",
                f"alter system set output_plugin_libraries = {wanted}; -- then reload the server",
                way.source.side,
            )
