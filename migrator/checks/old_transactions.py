"""No transaction that writes has been open for long.

Why it matters: the creation of a slot waits for every transaction of the server that has written something,
in whatever database. migrator waits [copy] lock_timeout so many times as [copy] lock_attempts says and gives
up. On the destination the slot of the way back is created while writers wait, and a transaction that is open
there makes the cutover be given up.
How to fix: let it end, or end its session with the SQL given: what it wrote is rolled back.
When to ignore: it will have ended by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity, directions
from migrator.pg.activity import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "replicate", "cut_over")

# Those without a number of their own, which only read, are not waited for.
OPEN = """
select a.pid,
       a.usename as role,
       a.application_name as application,
       a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::int as age,
       left(a.query, 100) as query,
       a.datname as database,
       extract(epoch from clock_timestamp() - a.xact_start)::float8 as seconds,
       pg_catalog.format(
           'select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity '
           'where pid = %%s and backend_start = %%L;',
           a.pid, a.backend_start
       ) as ending
from pg_catalog.pg_stat_activity a
where a.backend_xid is not null
  and a.backend_type = 'client backend'
  and a.pid <> pg_catalog.pg_backend_pid()
  and a.application_name <> all (%s)
  and a.xact_start < clock_timestamp() - %s * interval '1 second'
order by a.xact_start, a.pid
"""
HAS_SLOT = "select exists (select from pg_catalog.pg_replication_slots where slot_name = any (%s))"
# One that is older than so many times what we would wait does not look as if it would end.
LASTING = 10


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List those that are older than we would wait."""
    patience = float(ctx.config.copy.lock_timeout) * ctx.config.copy.lock_attempts
    ours = [ctx.names.application, ctx.names.observer]
    for way, severity in directions(ctx):
        side = way.source.side
        if way.source.value(HAS_SLOT, [[s.slot for s in ctx.names.streams]]):
            severity = Severity.WARN
        for row in way.source.rows(OPEN, [ours, patience]):
            yield Finding(
                severity if row.seconds > LASTING * patience else Severity.WARN,
                f"{side}: pid {row.pid}",
                f"a transaction is open on the {side} in database {row.database}: {describe([row])}",
                row.ending,
                side,
            )
