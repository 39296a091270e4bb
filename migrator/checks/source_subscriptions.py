"""No subscription brings changes into the source.

Why it matters: its apply worker passes the fence, so rows could arrive on the source after the cutover.
Subscriptions and publications of the source are not copied either.
How to fix: alter subscription … disable before the cutover; make it again on the destination afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC
BEFORE = ("plan", "cut_over")
SUBSCRIPTIONS = """
select pg_catalog.quote_ident(s.subname) as name, s.subenabled as enabled
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = current_database()
  and s.subname <> all (%s)
order by 1
"""
PUBLICATIONS = """
select pg_catalog.quote_ident(pubname) as name
from pg_catalog.pg_publication
where pubname <> all (%s)
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List subscriptions, and the publications that stay behind."""
    # Ours leads back, and is enabled when the destination has the writes.
    ours = [s.subscription for s in ctx.names.streams]
    for row in ctx.source.rows(SUBSCRIPTIONS, [ours]):
        yield Finding(
            Severity.BLOCK if row.enabled else Severity.WARN,
            row.name,
            f"subscription {row.name} of the source "
            + ("brings changes that pass the fence" if row.enabled else "is not copied"),
            f"alter subscription {row.name} disable;" if row.enabled else "",
            "source" if row.enabled else "",
        )
    for row in ctx.source.rows(PUBLICATIONS, [[s.publication for s in ctx.names.streams]]):
        yield Finding(
            Severity.WARN, row.name, f"publication {row.name} of the source is not copied; make it again"
        )
