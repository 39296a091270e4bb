"""No job inside the database runs on by itself.

Why it matters: the jobs of pg_cron and pgagent are rows of tables that are not migrated: the destination
does not have them. Those of the source go on to run against it after the cutover, where the fence refuses
what they write. What runs on the destination before is refused there in the same way, DDL excepted.
Partitions that pg_partman makes on the source are taken in by migrator refresh.
How to fix: stop the source's jobs right before the cutover, and make them on the destination after it.
When to ignore: the jobs only read, or it is all the same when they fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.redact import redact
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession

GROUP = Group.MISC
BEFORE = ("plan", "copy_schema", "cut_over")

# Which of the tables that hold jobs are here.
TABLES = """
select pg_catalog.to_regclass('cron.job')::text as cron,
       pg_catalog.to_regclass('pgagent.pga_job')::text as pgagent,
       (select pg_catalog.quote_ident(n.nspname) || '.part_config'
        from pg_catalog.pg_extension e
        join pg_catalog.pg_namespace n on n.oid = e.extnamespace
        where e.extname = 'pg_partman') as partman,
       pg_catalog.current_setting('cron.database_name', true) as kept_in
"""
CRON = """
select jobid as job, schedule, command
from cron.job
where active and database = current_database()
order by 1
"""
PGAGENT = "select jobname::text as name from pgagent.pga_job where jobenabled order by 1"
PARTMAN = "select parent_table::text as name from {table} order by 1"
SHOWN = 60
LISTED = 5


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look for jobs on both sides."""
    # Once the schema is there, the cutover is what comes: until then they are to go on.
    soon = Registry(ctx.destination, ctx.names).is_ours()
    for session in (ctx.source, ctx.destination):
        tables = session.rows(TABLES)[0]
        if tables.cron:
            yield from _cron(session, soon=soon)
        elif tables.kept_in:
            yield Finding(
                Severity.INFO,
                f"{session.side}: pg_cron",
                f"pg_cron keeps its jobs in database {tables.kept_in}: some may run in this one",
                f"see cron.job in database {tables.kept_in} of the {session.side}",
            )
        if tables.pgagent:
            for row in session.rows(PGAGENT):
                yield Finding(
                    Severity.WARN,
                    f"{session.side}: pgagent job {row.name}",
                    f"pgagent runs job {row.name!r} on the {session.side}",
                    "stop it before the cutover; make it on the destination after it",
                )
        if tables.partman:
            yield from _partman(session, tables.partman)


def _cron(session: ReadSession, *, soon: bool) -> Iterator[Finding]:
    for row in session.rows(CRON):
        command = " ".join(redact(row.command).split())
        short = command if len(command) <= SHOWN else command[:SHOWN] + "…"
        stop = f"update cron.job set active = false where jobid = {row.job};"
        yield Finding(
            Severity.WARN,
            f"{session.side}: pg_cron job {row.job}",
            f"pg_cron runs {short!r} ({row.schedule}) on the {session.side}, and it is not migrated",
            stop if soon else f"right before the cutover: {stop} then make it on the destination",
            session.side if soon else "",
        )


def _partman(session: ReadSession, table: str) -> Iterator[Finding]:
    parents = [row.name for row in session.rows(PARTMAN.format(table=table))]
    if parents:
        more = f" and {len(parents) - LISTED} more" if len(parents) > LISTED else ""
        yield Finding(
            Severity.WARN,
            f"{session.side}: pg_partman",
            f"pg_partman makes and drops partitions of {', '.join(parents[:LISTED])}{more} on the "
            f"{session.side}: those that come while the migration runs hold up its cutover until they are "
            "taken in, and its configuration is not migrated",
            "make partitions ahead and hold back its maintenance; or migrator refresh before the cutover",
        )
