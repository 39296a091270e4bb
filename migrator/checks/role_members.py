"""Roles have on the destination the members that they have on the source.

Why it matters: rights are mostly given to a role that others are members of. Memberships belong to the
cluster and are in no dump: without one the application may log in and see nothing.
How to fix: run the SQL given, after that of missing_roles.
When to ignore: the member has to do with other databases of the source only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.roles import concerned, memberships, names
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the memberships of whoever has to do with the database."""
    ours = names(concerned(ctx.source))
    there = {(m.role, m.member): m for m in memberships(ctx.destination)}
    options = all(s.has(Feature.GRANT_OPTIONS) for s in (ctx.source_server, ctx.destination_server))
    for here in memberships(ctx.source):
        if here.member not in ours:
            continue
        role, member = (sql.Identifier(name).as_string() for name in (here.role, here.member))
        found = there.get((here.role, here.member))
        if found is None:
            message = f"{member} is a member of {role} on the source, and not on the destination"
        else:
            lost = [
                word
                for word in (("admin", "inherit", "set") if options else ("admin",))
                if getattr(here, word) and not getattr(found, word)
            ]
            if not lost:
                continue
            message = f"the membership of {member} in {role} has not the option {', '.join(lost)} there"
        yield Finding(
            Severity.WARN, f"{member} in {role}", message, here.granting(options=options), "destination"
        )
