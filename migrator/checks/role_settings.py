"""Roles get on the destination the settings that they get on the source.

Why it matters: what alter role … set says for every database belongs to the cluster and is in no dump; what
it says for this database is copied. Without its search_path a role does not find its tables.
How to fix: run the SQL given.
When to ignore: the setting was meant for the old cluster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.database import READ_ONLY, assignment
from migrator.pg.roles import concerned, names, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER

KNOWN = """
select name
from unnest(%s::text[]) as n (name)
where name like '%%.%%'
   or pg_catalog.current_setting(name, true) is not null
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what is set for the roles, and for all of them, in every database."""
    ours = names(concerned(ctx.source)) | {""}
    there = settings(ctx.destination)
    differing = {
        key: value
        for key, value in settings(ctx.source).items()
        if key[0] in ours and key[1] != READ_ONLY and there.get(key) != value
    }
    known = {row.name for row in ctx.destination.rows(KNOWN, [[name for _, name in differing]])}
    for (role, name), value in differing.items():
        whose = sql.Identifier(role).as_string() if role else "all"
        usable = name in known
        yield Finding(
            Severity.WARN,
            f"{whose}: {name}",
            f"role {whose} gets {name} = {value} on the source, and "
            + (f"{there[role, name]} on the destination" if (role, name) in there else "not there"),
            f"alter role {whose} set {assignment(name, value).as_string()};"
            if usable
            else f"the destination does not know {name}: do without it, or install what brings it",
            "destination" if usable else "",
        )
