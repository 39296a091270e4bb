"""Nothing of somebody else's brings rows into the destination, or carries ours on.

Why it matters: rows that another subscription brings are not the source's; they collide with those that come,
or are there afterwards although the source has no such rows. A publication for all tables, or for a
schema's, takes in the tables that migrator makes there, and sends their rows to whoever has subscribed.
How to fix: run the SQL given, or name another database as the destination.
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

SUBSCRIPTIONS = """
select pg_catalog.quote_ident(s.subname) as name, s.subenabled as enabled
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = current_database()
  and s.subname <> all (%s)
order by 1
"""
OF_ALL = """
select pg_catalog.quote_ident(pubname) as name, 'all tables' as what
from pg_catalog.pg_publication
where puballtables
order by 1
"""
OF_SCHEMAS = """
select pg_catalog.quote_ident(p.pubname) as name,
       'the tables of schema ' || string_agg(s.pnnspid::pg_catalog.regnamespace::text, ', ') as what
from pg_catalog.pg_publication_namespace s
join pg_catalog.pg_publication p on p.oid = s.pnpubid
group by p.pubname
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List what is not ours; our publications name their tables."""
    for row in ctx.destination.rows(SUBSCRIPTIONS, [[s.subscription for s in ctx.names.streams]]):
        if row.enabled:
            yield Finding(
                Severity.BLOCK,
                row.name,
                f"subscription {row.name} brings rows into the destination",
                f"alter subscription {row.name} disable;",
                "destination",
            )
    publications = ctx.destination.rows(OF_ALL)
    if ctx.destination_server.has(Feature.SCHEMA_PUBLICATIONS):
        publications += ctx.destination.rows(OF_SCHEMAS)
    for row in publications:
        yield Finding(
            Severity.WARN,
            row.name,
            f"publication {row.name} of the destination is for {row.what}, those that come included",
            f"drop publication {row.name};",
            "destination",
        )
