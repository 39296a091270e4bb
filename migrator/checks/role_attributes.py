"""Roles may do on the destination what they may do on the source.

Why it matters: a role of the same name may be another one there: it cannot log in, has expired, or is let in
fewer times. The application finds out after the cutover.
How to fix: run the SQL given.
When to ignore: the difference is meant, or the role has to do with other databases only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.roles import ATTRIBUTES, concerned, everybody

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.roles import Role

GROUP = Group.USER


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the roles that are on both sides; more rights than on the source are not told."""
    known = everybody(ctx.destination)
    for role in concerned(ctx.source):
        other = known.get(role.name)
        if other is None or role.name.startswith("pg_"):
            continue
        missing = list(_missing(role, other))
        if missing:
            yield Finding(
                Severity.WARN,
                role.name,
                f"role {role.quoted} has on the source, and not on the destination: {', '.join(missing)}",
                f"alter role {role.quoted} {' '.join(missing)};",
                "destination",
            )


def _missing(role: Role, other: Role) -> Iterator[str]:
    """Yield what makes the other one like the role, in SQL's words."""
    for word in ATTRIBUTES:
        # A superuser may do what the others say, except to log in.
        if getattr(role, word) and not getattr(other, word) and (word == "login" or not other.superuser):
            yield word
    if role.inherit != other.inherit:
        yield "inherit" if role.inherit else "noinherit"
    if other.connections >= 0 and (role.connections < 0 or role.connections > other.connections):
        yield f"connection limit {role.connections}"
    if other.until is not None and (role.until is None or role.until > other.until):
        until = "infinity" if role.until is None else role.until.isoformat(sep=" ")
        yield f"valid until {sql.Literal(until).as_string()}"
