"""Every role that the source's database has to do with exists on the destination.

Why it matters: owners and grants are copied; a role that is missing stops the restore. One that has its
rights as a member of another role is missed when the application logs in after the cutover. Roles belong to
a cluster, not to a database, so they are not part of a dump.
How to fix: run the SQL given; passwords are not copied, set them yourself (or use pg_dumpall --roles-only).
When to ignore: the member of a role has to do with other databases of the source only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.roles import concerned, everybody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the roles by name."""
    known = everybody(ctx.destination)
    for role in concerned(ctx.source):
        if role.name not in known and not role.name.startswith("pg_"):
            concern = (
                "owns or is granted something"
                if role.named
                else "is a member of one that owns or is granted something, or has such a one as a member,"
            )
            yield Finding(
                Severity.BLOCK if role.named else Severity.WARN,
                role.name,
                f"role {role.quoted} {concern} and does not exist on the destination",
                role.creation,
                "destination",
            )
