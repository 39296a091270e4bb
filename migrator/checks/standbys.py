"""No standby takes over from a server of the migration while it goes on.

Why it matters: the stream's slots are on the primary alone. A failover or switchover of the source loses
them: before the cutover the copy begins again. After the cutover one of the destination loses the way
back. migrator notices by the timeline and refuses to go on as if nothing had happened.
How to fix: hold switchovers back for the time of the migration (patronictl pause, no maintenance window of a
hosted server); what a failure of the primary costs is said above.
When to ignore: always, once it is known: standbys are good, and a failover on that day is unlikely.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity, directions
from migrator.context import FORWARD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan",)

STANDBYS = """
select coalesce(nullif(r.application_name, ''), r.client_addr::text, 'pid ' || r.pid) as name
from pg_catalog.pg_stat_replication r
where r.state in ('streaming', 'catchup')
  and not exists (
      select
      from pg_catalog.pg_replication_slots s
      where s.active_pid = r.pid and s.slot_type = 'logical'
  )
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Name the standbys of whoever publishes."""
    for way, _severity in directions(ctx):
        names = [row.name for row in way.source.rows(STANDBYS)]
        if names:
            side = way.source.side
            loss = (
                "the copy begins again"
                if way.roles == FORWARD
                else "the way back is lost when it has the writes"
            )
            yield Finding(
                Severity.INFO,
                side,
                f"the {side} has standbys ({', '.join(names[:5])}): if one takes over, {loss}",
                "hold switchovers back for the time of the migration",
            )
