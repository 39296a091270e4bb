"""Take the locks of the fence and raise it, in one message, and give way to whoever has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import StatementFailed, TimedOut
from migrator.pg.activity import end_holders, name_holders
from migrator.pg.patience import GIVE_WAY
from migrator.switchover import fence, gates, lock_order

if TYPE_CHECKING:
    from migrator.context import WriteContext
    from migrator.pg.catalog import Table
    from migrator.pg.session import WriteSession

LOCK = "lock table {tables} in share row exclusive mode"
# The dead man's switch is the second one: the server ends an idle fence that its owner has forgotten.
BOUNDS = """
select pg_catalog.set_config('statement_timeout', {wait}, true) as locks,
       pg_catalog.set_config('idle_in_transaction_session_timeout', {pause}, true) as fence
"""
UNBOUND = "select pg_catalog.set_config('statement_timeout', '0', true)"


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
    names = sql.SQL(", ").join(sql.SQL("only {}").format(t.identifier) for t in tables)
    statements = [
        *([sql.SQL(LOCK).format(tables=names)] if tables else []),
        sql.SQL(UNBOUND),
        fence.raising(ctx.names),
        fence.read_only(ctx.source_server.database, on=True),
    ]
    with lock_order.watching(ctx, session.pid, tables) as queue:
        try:
            session.run(sql.SQL(BOUNDS).format(**milliseconds))
            # One message, not a pipeline: a server that has answered one does not start the dead man's clock.
            session.run(sql.SQL("; ").join(statements))
            return gates.schema_mark(session)
        except (TimedOut, StatementFailed) as error:
            if not isinstance(error, TimedOut) and error.sqlstate not in GIVE_WAY:
                raise
            failure = error
    raise LockLost(_suspects(ctx, tables), learnt=lock_order.learn(ctx, queue)) from failure


def _suspects(ctx: WriteContext, tables: list[Table]) -> str:
    oids = [t.oid for t in tables]
    held = [name_holders(ctx.source, ctx.names, oids), *gates.nothing_is_prepared(ctx)]
    found = "; ".join(filter(None, held)) or "a transaction that has just ended"
    after = ctx.config.cutover.terminate_blockers_after
    ended = end_holders(ctx.write_source, ctx.names, oids, older_than=after)
    return f"{found}; ended {', '.join(f'pid {pid}' for pid in ended)}" if ended else found
