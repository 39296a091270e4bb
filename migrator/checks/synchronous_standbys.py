"""No commit waits for standbys that are not there.

Why it matters: while synchronous_standby_names asks for more standbys than are connected, every commit waits
without end: those of the copy, of the stream's worker where it is asked to be synchronous, and that of the
cutover itself.
How to fix: bring the standbys up, or run the SQL given; where Patroni or its like manages the server, let it
make the change.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "cut_over")

SYNCHRONOUS = """
select current_setting('synchronous_standby_names') as names,
       (select count(*)
        from pg_catalog.pg_stat_replication
        where sync_state in ('sync', 'quorum')) as connected
"""
# A list of names alone asks for one of them (documentation 19.6.2).
ASKED = re.compile(r"\s*(?:first\s+|any\s+)?([0-9]+)\s*\(", re.IGNORECASE)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare how many are asked for with how many are connected."""
    for session in (ctx.source, ctx.destination):
        row = session.rows(SYNCHRONOUS)[0]
        if not row.names.strip():
            continue
        number = ASKED.match(row.names)
        asked = int(number[1]) if number else 1
        if row.connected < asked:
            yield Finding(
                Severity.BLOCK,
                session.side,
                f"synchronous_standby_names = {row.names} asks for {asked} and {row.connected} "
                f"{'is' if row.connected == 1 else 'are'} connected: every commit waits",
                "alter system set synchronous_standby_names = ''; -- then reload the server",
                session.side,
            )
