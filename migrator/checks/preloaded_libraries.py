"""What the source preloads for an extension of this database, the destination preloads, too.

Why it matters: some extensions cannot be created where their library is not preloaded (timescaledb, pg_cron,
citus, pgaudit), and the restore of the schema stops there; others are created and do nothing.
How to fix: add the library to shared_preload_libraries of the destination, and restart it.
When to ignore: the extension works without, or is not to work on the destination before the cutover.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.preload import preloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB
SETTING = "shared_preload_libraries"
# Their create extension raises an error.
REFUSING = ("citus", "pg_cron", "pg_squeeze", "pgaudit", "pglogical", "timescaledb")

# Some put their version into the library's name.
LIBRARIES = """
select e.extname as extension,
       array_agg(distinct pg_catalog.regexp_replace(p.probin, '^.*/', '')) as libraries
from pg_catalog.pg_extension e
join pg_catalog.pg_depend d
  on d.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
 and d.refobjid = e.oid
 and d.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass
 and d.deptype = 'e'
join pg_catalog.pg_proc p on p.oid = d.objid
where p.probin is not null
group by 1
order by 1
"""
AVAILABLE = "select name from pg_catalog.pg_available_extensions where name = any (%s)"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what both sides preload."""
    here, there = preloaded(ctx.source, SETTING), preloaded(ctx.destination, SETTING)
    missing = [library for library in here if library not in there]
    if not missing:
        return
    rows = ctx.source.rows(LIBRARIES)
    # A server does not start with a library that it does not find.
    available = {row.name for row in ctx.destination.rows(AVAILABLE, [[row.extension for row in rows]])}
    for row in rows:
        names = {row.extension, *row.libraries}
        needed = [lib for lib in missing if lib in names or any(n.startswith(f"{lib}-") for n in names)]
        for library in needed if row.extension in available else ():
            wanted = sql.SQL(", ").join(map(sql.Literal, [*there, library])).as_string()
            yield Finding(
                Severity.BLOCK if row.extension in REFUSING else Severity.WARN,
                row.extension,
                f"the source preloads {library} for extension {row.extension}, and the destination does not",
                f"alter system set {SETTING} = {wanted}; -- then restart the server",
                "destination",
            )
