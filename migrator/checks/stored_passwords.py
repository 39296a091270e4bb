"""No subscription holds a password.

Why it matters: what a subscription connects with is kept as it is in pg_subscription, where superusers read
it, and goes into every dump of the database. Ours goes with clean_up.
How to fix: leave the password out of [replication] source_conninfo (destination_conninfo) and put it into the
.pgpass of the user that runs the server that connects.
When to ignore: whoever is a superuser there may know the password, and dumps made meanwhile are kept safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity, directions
from migrator.switchover import subscribing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.HBA
BEFORE = ("plan",)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for a password in what the subscriptions will be given."""
    for way, _severity in directions(ctx):
        parts = subscribing.worker_parameters(way)
        if parts.get("password"):
            there, here = way.source.side, way.destination.side
            yield Finding(
                Severity.INFO,
                here,
                f"the subscription on the {here} will hold the password of role {parts.get('user')}",
                f"[replication] {there}_conninfo without a password, and a .pgpass for the user that runs "
                f"the {here}'s server",
            )
