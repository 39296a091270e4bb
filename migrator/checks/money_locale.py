"""Columns of type money mean the same on both sides.

Why it matters: money is written and read by lc_monetary: what streams from a server with one as $1,000.00
is refused, or another amount, where it is another. The copy pins it; the stream's own sessions have what
their server, database and role say.
How to fix: alter database … set lc_monetary on the source: the destination's database gets the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA
from migrator.pg.column_types import OF_COLUMNS, PARTS
from migrator.pg.locales import has_locale, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB
SHOWN = 5

COLUMNS = f"""
with recursive {PARTS.format(roots=OF_COLUMNS)}
select distinct c.oid::pg_catalog.regclass::text as relation
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where a.atttypid in (select root from part where type = 'pg_catalog.money'::pg_catalog.regtype)
  and a.attnum > 0
  and not a.attisdropped
  and c.relkind = 'r'
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 1
"""
# Our own sessions pin it, so that it is read where it is written: the last applied line of the files.
SERVERS_OWN = """
select coalesce(
           (select f.setting
            from pg_catalog.pg_file_settings f
            where f.name = 'lc_monetary' and f.applied
            order by f.seqno desc
            limit 1),
           'C')
"""
DATABASES_OWN = """
select substr(c.setting, strpos(c.setting, '=') + 1)
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
  and s.setrole = 0
  and c.setting ~ '^lc_monetary='
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what the stream's sessions will have, where there is money."""
    tables = [row.relation for row in ctx.source.rows(COLUMNS)]
    if not tables:
        return
    more = f" and {len(tables) - SHOWN} more" if len(tables) > SHOWN else ""
    listed = f"{', '.join(tables[:SHOWN])}{more}"
    # That of the source's database becomes that of the destination's.
    fixed = ctx.source.value(DATABASES_OWN)
    here = fixed or ctx.source.value(SERVERS_OWN)
    there = fixed or ctx.destination.value(SERVERS_OWN)
    if not has_locale(ctx.destination, here):
        yield Finding(
            Severity.BLOCK,
            "lc_monetary",
            f"money of {listed} is written by {here}, and the destination's host has no such locale",
            f"install locale {here} on the destination's host",
        )
    elif _sign(here) != _sign(there):
        name = sql.Identifier(ctx.source_server.database)
        fix = sql.SQL("alter database {} set lc_monetary = {};").format(name, sql.Literal(here))
        yield Finding(
            Severity.BLOCK,
            "lc_monetary",
            f"money of {listed} is written by {here} here and read by {there} there",
            fix.as_string(),
            "source",
        )


def _sign(locale: str) -> str:
    name = plain(locale)
    return "c" if name.startswith("c.") else name
