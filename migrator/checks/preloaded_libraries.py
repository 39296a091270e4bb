"""Every library that the source's sessions find loaded, those of the destination find too.

Why it matters: what is loaded by shared_preload_libraries is missed only afterwards: statistics of
statements that are not gathered, jobs that do not run, extensions that refuse to work.
How to fix: install the library on the destination's host, add it to the setting, and restart. A server that
is told to load a library that it does not have does not start: so the SQL names only those that are there.
When to ignore: the library served the old host only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.preload import directory, sizes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

# As the server starts or its files say; what a database or role adds is copied, or is ours.
LISTED = """
select s.name,
       case when s.source in ('default', 'configuration file', 'command line') then s.reset_val
            else coalesce(
                (select f.setting
                 from pg_catalog.pg_file_settings f
                 where f.name = s.name and f.applied
                 order by f.seqno desc
                 limit 1),
                s.boot_val)
       end as value
from pg_catalog.pg_settings s
where s.name in ('shared_preload_libraries', 'session_preload_libraries', 'local_preload_libraries')
order by s.name desc
"""
ELEMENT = re.compile(r'\s*(?:"((?:[^"]|"")*)"|([^,"]+))\s*(?:,|$)')


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the lists by the libraries' names, whatever their paths."""
    there = {row.name: _elements(row.value) for row in ctx.destination.rows(LISTED)}
    loaded = {_base(library) for libraries in there.values() for library in libraries}
    own = directory(ctx.destination, "PKGLIBDIR")
    for row in ctx.source.rows(LISTED):
        missing = [name for library in _elements(row.value) if (name := _base(library)) not in loaded]
        files = {f"{own}/{name}.so": name for name in missing}
        ready = [files[path] for path in sizes(ctx.destination, files)]
        if ready:
            wanted = sql.SQL(", ").join(map(sql.Literal, [*there.get(row.name, []), *ready])).as_string()
            then = "restart" if row.name.startswith("shared") else "reload"
            yield Finding(
                Severity.WARN,
                row.name,
                f"{', '.join(ready)}: loaded on the source and not on the destination",
                f"alter system set {row.name} = {wanted}; -- then {then} the server",
                "destination",
            )
        for name in missing:
            if name not in ready:
                yield Finding(
                    Severity.WARN,
                    name,
                    f"library {name} of {row.name} is loaded on the source and not on the destination",
                    f"install what brings {name} on the destination's host, add it to {row.name}, restart",
                )


def _elements(value: str) -> list[str]:
    found = (match[1] or match[2] or "" for match in ELEMENT.finditer(value or ""))
    return [element.strip() for element in found if element.strip()]


def _base(library: str) -> str:
    return library.rpartition("/")[2].removesuffix(".so")
