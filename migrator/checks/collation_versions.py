"""Text sorts on both sides by the same version of the same rules, as their indexes were built.

Why it matters: libc and ICU change with the operating system how text sorts. Indexes are built anew on the
destination, and no matter there; but a row of a partition by range of text may belong into another one
there, which refuses it, and where equality is not bitwise (a collation that is not deterministic) two keys
may become one. Where a server's record differs from what it has loaded, its indexes may be corrupt already.
How to fix: on the side that is named, reindex what sorts text, then refresh the version; partition by
a collation that does not change ("C"); or bring both hosts to the same version.
When to ignore: only the order of results differs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA
from migrator.pg.locales import database_locale

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.locales import Locale

GROUP = Group.DB

# The version of every collation that anything depends on, as recorded and as loaded.
USED = """
select n.nspname || '.' || c.collname as key,
       pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.collname) as name,
       c.collversion as recorded,
       pg_catalog.pg_collation_actual_version(c.oid) as actual
from pg_catalog.pg_collation c
join pg_catalog.pg_namespace n on n.oid = c.collnamespace
where c.collprovider <> 'd'
  and (n.nspname || '.' || c.collname = any (%(names)s)
       or c.oid in (
           select d.refobjid
           from pg_catalog.pg_depend d
           where d.refclassid = 'pg_catalog.pg_collation'::pg_catalog.regclass
       ))
order by 1
"""
# Where the order decides about rows: bounds of text, and keys whose equality is not bitwise. The default
# collation has no name here: it is the database's. Those that sort by code point do not change.
DECIDING = f"""
select 'is partitioned by range of text' as what,
       k.partrelid::pg_catalog.regclass::text as name,
       case when l.collprovider <> 'd' then ln.nspname || '.' || l.collname end as sorted_by
from pg_catalog.pg_partitioned_table k
join pg_catalog.pg_class c on c.oid = k.partrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(k.partcollation::oid[]) as p (oid)
join pg_catalog.pg_collation l on l.oid = p.oid
join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
where k.partstrat = 'r'
  and l.collprovider <> 'b'
  and not (l.collprovider = 'c' and l.collcollate ~* '^(c|posix)($|[.])')
  and {USER_SCHEMA}
union
select 'has a unique key that is not deterministic',
       i.indexrelid::pg_catalog.regclass::text,
       ln.nspname || '.' || l.collname
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
cross join lateral unnest(i.indcollation::oid[]) as p (oid)
join pg_catalog.pg_collation l on l.oid = p.oid
join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
where i.indisunique
  and to_jsonb(l) ->> 'collisdeterministic' = 'false'
  and {USER_SCHEMA}
order by 1, 2
"""
# Of all collations of ICU.
ROOT = "pg_catalog.und-x-icu"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare recorded with loaded versions on each side, then the sides."""
    here, there = database_locale(ctx.source), database_locale(ctx.destination)
    used = {row.key: row for row in ctx.source.rows(USED, {"names": [ROOT]})}
    yield from _stale_database(ctx, here, there)
    for row in used.values():
        if row.recorded and row.actual and row.recorded != row.actual:
            yield Finding(
                Severity.WARN,
                row.name,
                f"collation {row.name} of the source was made with version {row.recorded}, and is "
                f"{row.actual} now: indexes that use it may be corrupt",
                f"reindex what uses it; then alter collation {row.name} refresh version;",
            )
    deciding = ctx.source.rows(DECIDING)
    names = sorted({row.sorted_by for row in deciding if row.sorted_by} | {ROOT})
    theirs = {row.key: row.actual for row in ctx.destination.rows(USED, {"names": names})}
    apart = _differing(here, there)
    for row in deciding:
        if row.sorted_by is None:
            difference = apart
        else:
            # One that the destination is still to create goes by ICU's own version.
            name = row.sorted_by if row.sorted_by in theirs else ROOT
            difference = _versions(used[name].actual, theirs[name]) if name in used and name in theirs else ""
        if difference:
            yield Finding(
                Severity.WARN,
                row.name,
                f"{row.name} {row.what}, and text may sort otherwise on the destination: {difference}",
                "bring both hosts to the same version, or use a collation that does not change",
            )
    if apart and here.ordering == there.ordering and here.actual and there.actual:
        yield Finding(
            Severity.INFO,
            "destination",
            f"{here.told} has version {here.actual} here and {there.actual} there: sorting may differ",
        )


def _stale_database(ctx: ReadContext, here: Locale, there: Locale) -> Iterator[Finding]:
    for server, locale in ((ctx.source_server, here), (ctx.destination_server, there)):
        if locale.recorded and locale.actual and locale.recorded != locale.actual:
            name = sql.Identifier(server.database).as_string()
            refresh = f"alter database {name} refresh collation version;"
            empty = server is ctx.destination_server
            yield Finding(
                Severity.WARN,
                server.side,
                f"database {name} was made with version {locale.recorded} of its locale, and it is "
                f"{locale.actual} now" + ("" if empty else ": indexes on text may be corrupt"),
                refresh if empty else f"reindex database {name}; then {refresh}",
                server.side if empty else "",
            )


def _differing(here: Locale, there: Locale) -> str:
    """Return how the databases' own collations differ, or nothing where they cannot."""
    if here.ordering != there.ordering:
        return f"{here.told} here, {there.told} there"
    if here.ordering[0] == "":
        return ""
    return _versions(here.actual, there.actual)


def _versions(mine: str | None, theirs: str | None) -> str:
    if mine == theirs and mine is not None:
        return ""
    return f"version {mine or 'unknown'} here, {theirs or 'unknown'} there"
