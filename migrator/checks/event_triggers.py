"""No event trigger of the source fires for what migrator does.

Why it matters: event triggers that are ENABLE ALWAYS or ENABLE REPLICA fire on migrator's own DDL, and may
refuse it (from 17 on its sessions have none). One on login runs for migrator and for the stream, too: the
side that is fenced opens sessions read-only, so one that writes lets nobody in there.
How to fix: the plain form, alter event trigger … enable; one on login is disabled for the time of the
migration, and enabled on the destination afterwards.
When to ignore: it refuses and writes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC
BEFORE = ("plan", "copy_schema", "cut_over")

FIND = """
select pg_catalog.quote_ident(evtname) as name,
       evtevent as event,
       evtevent = 'login' as at_login
from pg_catalog.pg_event_trigger
where evtenabled in ('A', 'R')
   or evtenabled <> 'D' and evtevent = 'login'
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List those of the source, which the destination is going to have."""
    servers = (ctx.source_server, ctx.destination_server)
    set_off = all(server.has(Feature.EVENT_TRIGGERS_SETTING) for server in servers)
    for row in ctx.source.rows(FIND):
        if row.at_login:
            yield Finding(
                Severity.WARN,
                row.name,
                f"event trigger {row.name} runs at each login: one that writes keeps everybody out where the "
                "fence has sessions read-only",
                f"alter event trigger {row.name} disable; -- enable it on the destination after the cutover",
                "source",
            )
        elif not set_off:
            yield Finding(
                Severity.WARN,
                row.name,
                f"event trigger {row.name} ({row.event}) also fires on migrator's own DDL",
                f"alter event trigger {row.name} enable;",
                "source",
            )
