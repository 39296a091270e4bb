"""Every collation that the source uses can be had on the destination.

Why it matters: a column, an index or a domain that names a collation which the destination does not have
stops the restore of the schema. Which there are depends on the locales of the host (libc) and on how the
server was built (icu).
How to fix: install the locale on the destination's host and import it, or take a destination that is built
with ICU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import not_of_extension
from migrator.pg.locales import has_locale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

# Those of pg_catalog that anything depends on, which are not dumped, and all that users have made.
USED = f"""
select n.nspname = 'pg_catalog' as builtin,
       c.collname::text as name,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname) as label,
       c.collprovider::text as provider,
       c.collcollate::text as locale
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
where c.collprovider <> 'd'
  and (n.nspname <> 'pg_catalog'
       or c.oid in (
           select d.refobjid
           from pg_catalog.pg_depend d
           where d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass
       ))
  and {not_of_extension("pg_collation", "c.oid")}
order by 3
"""
THERE = """
select c.collname::text as name
from pg_catalog.pg_collation c
where c.collnamespace = 'pg_catalog'::pg_catalog.regnamespace
  and c.collencoding in (
      -1, (select encoding from pg_catalog.pg_database where datname = current_database())
  )
"""
# initdb of a server without ICU leaves none of it but "unicode", which it cannot use.
HAS_ICU = """
select exists (select from pg_catalog.pg_collation where collprovider = 'i' and collname <> 'unicode')
"""
IMPORT = "then: select pg_catalog.pg_import_system_collations('pg_catalog');"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare names, then ask the destination for what is behind those that it is to create."""
    used = ctx.source.rows(USED)
    if not used:
        return
    there = {row.name for row in ctx.destination.rows(THERE)}
    has_icu = bool(ctx.destination.value(HAS_ICU))
    for row in used:
        if row.provider == "i" and not has_icu:
            why, fix = "the destination is built without ICU", "a destination that is built with ICU"
        elif row.builtin and row.name not in there:
            why = "the destination does not have it"
            fix = f"install locale {row.locale or row.name} on the destination's host, {IMPORT}"
        elif not row.builtin and row.provider == "c" and not has_locale(ctx.destination, row.locale):
            why = f"the destination's host has no locale {row.locale}"
            fix = f"install locale {row.locale} on the destination's host"
        else:
            continue
        yield Finding(Severity.BLOCK, row.label, f"collation {row.label} is used, and {why}", fix)
