"""Take the locks of the fence and raise it, in one message, and give way to whoever has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import StatementFailed, TimedOut
from migrator.pg.activity import end_holders, name_holders
from migrator.pg.patience import GIVE_WAY
from migrator.switchover import fence, gates, lock_order

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.catalog import Table
    from migrator.pg.session import WriteSession

LOCK = "lock table {tables} in share row exclusive mode"
# The dead man's switch is the second one: the server ends an idle fence that its owner has forgotten.
BOUNDS = """
select pg_catalog.set_config('statement_timeout', {wait}, true) as locks,
       pg_catalog.set_config('idle_in_transaction_session_timeout', {pause}, true) as fence
"""
UNBOUND = "select pg_catalog.set_config('statement_timeout', '0', true)"

# What a vacuum holds; it conflicts with itself and with no writer's lock.
VACUUMED = """
select distinct l.relation::bigint as relation
from pg_catalog.pg_locks l
where l.granted
  and l.locktype = 'relation'
  and l.mode = 'ShareUpdateExclusiveLock'
  and l.relation = any (%s)
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
"""
VACUUM_LOCK = "lock table only {table} in share update exclusive mode"
# Past its ``deadlock_timeout`` a session that waits for an autovacuum cancels it (proc.c, ProcSleep).
LONG_ENOUGH = """
select pg_catalog.set_config('lock_timeout', (setting::int * 3 / 2)::text, true)
from pg_catalog.pg_settings
where name = 'deadlock_timeout'
"""


class LockLost(Exception):
    """The fence's locks were not to be had; ``why`` names who is in the way.

    ``learnt`` says that the next try will lock in another order.
    """

    def __init__(self, why: str, *, learnt: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.learnt = learnt


def lock_and_fence(ctx: WriteContext, session: WriteSession, tables: list[Table]) -> str:
    """Lock the tables in their order and raise the fence; return the schema's mark as it is then.

    Belongs into a transaction. Raises LockLost naming who is in the way, when the locks are not to be had.
    """
    milliseconds = {
        # lock_timeout bounds the wait for each table, statement_timeout that for all of them.
        "wait": sql.Literal(str(int(ctx.config.cutover.lock_timeout * 1000))),
        "pause": sql.Literal(str(int(ctx.config.cutover.max_pause * 1000))),
    }
    locks, *raised = fencing(ctx, tables)
    with lock_order.watching(ctx, session.pid, tables) as queue:
        try:
            session.run(sql.SQL(BOUNDS).format(**milliseconds))
            # One message, not a pipeline: a server that has answered one does not start the dead man's clock.
            session.run(sql.SQL("; ").join([locks, sql.SQL(UNBOUND), *raised]))
            return gates.schema_mark(session)
        except (TimedOut, StatementFailed) as error:
            if not isinstance(error, TimedOut) and error.sqlstate not in GIVE_WAY:
                raise
            failure = error
    raise LockLost(_suspects(ctx, tables), learnt=lock_order.learn(ctx, queue)) from failure


def fencing(ctx: ReadContext, tables: list[Table]) -> list[sql.Composable]:
    """Return the statements of the fence: the locks first, then what raises it."""
    names = sql.SQL(", ").join(sql.SQL("only {}").format(t.identifier) for t in tables)
    return [
        sql.SQL(LOCK).format(tables=names) if tables else sql.SQL("select 'no table'"),
        fence.raising(ctx.names),
        fence.read_only(ctx.source_server.database, on=True),
    ]


def end_autovacuums(ctx: WriteContext, tables: list[Table]) -> None:
    """Have autovacuums of the tables give way, before anybody is held back.

    The fence would do that too, but only past the ``deadlock_timeout``, which it must not wait for unless
    it may shorten it. What does not give way, the fence will name.
    """
    session = ctx.write_source
    busy = {row.relation for row in session.rows(VACUUMED, [[t.oid for t in tables]])}
    for table in tables:
        if table.oid not in busy:
            continue
        try:
            with session.transaction():
                session.execute(LONG_ENOUGH)
                session.run(sql.SQL(VACUUM_LOCK).format(table=table.identifier))
        except StatementFailed as error:
            if error.sqlstate not in GIVE_WAY:
                raise


def _suspects(ctx: WriteContext, tables: list[Table]) -> str:
    oids = [t.oid for t in tables]
    held = [name_holders(ctx.source, ctx.names, oids), *gates.nothing_is_prepared(ctx)]
    found = "; ".join(filter(None, held)) or "a transaction that has just ended"
    after = ctx.config.cutover.terminate_blockers_after
    ended = end_holders(ctx.write_source, ctx.names, oids, older_than=after)
    return f"{found}; ended {', '.join(f'pid {pid}' for pid in ended)}" if ended else found
