"""Every library that the source's own C functions are in is on the destination's host.

Why it matters: create function loads the library, and the schema is restored in one transaction: one that
is missing stops it. Libraries of extensions come with these.
How to fix: install the library, built for the destination's version, on the destination's host.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA, not_of_extension
from migrator.pg.preload import can_look, directory, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

LIBRARIES = f"""
select p.probin as library,
       string_agg(p.oid::pg_catalog.regprocedure::text, ', ' order by p.oid) as functions
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where l.lanname = 'c'
  and {USER_SCHEMA}
  and {not_of_extension("pg_proc", "p.oid")}
group by 1
order by 1
"""
PATH = "select pg_catalog.current_setting('dynamic_library_path')"
SUFFIXES = ("", ".so", ".dylib", ".dll")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for the files, where the destination's server would."""
    libraries = ctx.source.rows(LIBRARIES)
    if not libraries:
        return
    blind = not can_look(ctx.destination)
    own = directory(ctx.destination, "PKGLIBDIR")
    searched = [place.replace("$libdir", own) for place in ctx.destination.value(PATH).split(":")]
    places = {row.library: _places(row.library, own, searched) for row in libraries}
    there = sizes(ctx.destination, (path for paths in places.values() for path in paths))
    for row in libraries:
        if not there.keys() & set(places[row.library]):
            where = "the destination's host"
            yield Finding(
                Severity.WARN if blind else Severity.BLOCK,
                row.library,
                f"library {row.library} of {row.functions} "
                + (
                    f"may not be on {where}: its version has nobody look there"
                    if blind
                    else f"is not on {where}"
                ),
                f"install {row.library}, built for version {ctx.destination_server.major}, on the "
                "destination's host",
            )


def _places(library: str, own: str, searched: list[str]) -> list[str]:
    if "/" in library:
        return [library.replace("$libdir", own) + suffix for suffix in SUFFIXES]
    return [f"{place}/{library}{suffix}" for place in searched for suffix in SUFFIXES]
