"""No prepared transaction is open.

Why it matters: the creation of a slot waits for every open transaction of the server, whatever its database,
and a prepared one may stay open for ever; it can neither be moved nor fenced. On the destination the slot of
the way back is created while writers wait.
How to fix: whoever prepared it (a transaction manager, a client of XA) has to say how it ends; then commit
prepared or rollback prepared in the database that is named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, directions

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "replicate", "cut_over")
PREPARED = "select gid, database, prepared from pg_catalog.pg_prepared_xacts order by prepared"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List them: those of other databases hold up the slot too."""
    for way, severity in directions(ctx):
        for row in way.source.rows(PREPARED):
            gid = sql.Literal(row.gid).as_string().strip()
            yield Finding(
                severity,
                row.gid,
                f"prepared transaction {row.gid!r} in database {row.database} of the {way.source.side} is "
                f"open since {row.prepared:%Y-%m-%d %H:%M:%S %Z}",
                f"on the {way.source.side}, in database {sql.Identifier(row.database).as_string()}: "
                f"commit prepared {gid}; or rollback prepared {gid};",
            )
