"""The servers' files on who may log in, and as whom, have no error.

Why it matters: a server that is running goes on with what it read before, and takes in no change; after a
restart it does not come up. A cutover is a bad time to learn that.
How to fix: mend the line that is named, then select pg_reload_conf().
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.HBA

# Since 16 files may include others, and each line says which one it is in.
RULES = """
select coalesce(to_jsonb(r) ->> 'file_name', current_setting('hba_file')) as file,
       r.line_number as line,
       r.error
from pg_catalog.pg_hba_file_rules r
where r.error is not null
order by 1, 2
"""
NAMES = """
select coalesce(to_jsonb(m) ->> 'file_name', current_setting('ident_file')) as file,
       m.line_number as line,
       m.error
from pg_catalog.pg_ident_file_mappings m
where m.error is not null
order by 1, 2
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List the lines that the servers cannot read."""
    for session, server in ((ctx.source, ctx.source_server), (ctx.destination, ctx.destination_server)):
        rows = session.rows(RULES)
        if server.has(Feature.IDENT_VIEW):
            rows += session.rows(NAMES)
        for row in rows:
            yield Finding(
                Severity.WARN,
                f"{session.side}: {row.file}:{row.line}",
                f"the {session.side} cannot read line {row.line} of {row.file}: {row.error}",
                f"mend the line; then on the {session.side}: select pg_reload_conf()",
            )
