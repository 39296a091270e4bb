"""Our roles may do what the migration does.

Why it matters: a missing right shows up in the middle of the night, half way through.
The stream's worker logs in as our role of the destination and obeys ``alter role … set role``.
How to fix: use a superuser on both sides; this version needs one. It is not to become another role.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER

BECOMES = """
select distinct split_part(c.setting, '=', 2) as other
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where c.setting ~ '^role='
  and c.setting <> 'role=none'
  and s.setrole in (0, (select oid from pg_catalog.pg_roles where rolname = session_user))
  and s.setdatabase in (
      0, (select oid from pg_catalog.pg_database where datname = current_database())
  )
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the roles' attributes."""
    for server in (ctx.source_server, ctx.destination_server):
        if not server.superuser:
            yield Finding(
                Severity.BLOCK,
                server.side,
                f"role {server.role} is not a superuser",
                f'alter role "{server.role}" superuser; -- for the time of the migration',
                server.side,
            )
    role = ctx.destination_server.role
    for row in ctx.destination.rows(BECOMES):
        yield Finding(
            Severity.BLOCK,
            "destination",
            f"role {role} becomes {row.other} when it logs in, and so would the stream's worker",
            f'alter role "{role}" reset role; -- for the time of the migration',
            "destination",
        )
