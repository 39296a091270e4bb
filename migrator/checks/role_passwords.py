"""Roles that log in with a password have one on the destination.

Why it matters: passwords are not copied by migrator, nor by create role. The application is refused after the
cutover.
How to fix: set it with psql's command that is given, which sends no password in clear; or take the roles over
with their passwords: pg_dumpall --roles-only on the source.
When to ignore: the role logs in there by a certificate, LDAP or the like.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.roles import concerned, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare who has none; what they are is not looked at."""
    here, there = without_password(ctx.source), without_password(ctx.destination)
    for role in concerned(ctx.source):
        if role.login and role.name not in here and role.name in there:
            yield Finding(
                Severity.WARN,
                role.name,
                f"role {role.quoted} has a password on the source and none on the destination",
                f"with psql on the destination: \\password {role.quoted}",
            )
