"""Take the locks of the fence and raise it, in one message, and give way to whoever has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import StatementFailed, TimedOut
from migrator.pg.activity import end_holders, name_holders
from migrator.pg.patience import GIVE_WAY
from migrator.switchover import fence, gates

if TYPE_CHECKING:
    from migrator.context import WriteContext
    from migrator.pg.catalog import Table
    from migrator.pg.session import WriteSession

LOCK = "lock table {tables} in share row exclusive mode"
STATEMENT_TIMEOUT = "select set_config('statement_timeout', %s, true)"
# The dead man's switch: the server ends an idle fence that its owner has forgotten.
DEAD_MAN = "select set_config('idle_in_transaction_session_timeout', %s, true)"


class LockLost(Exception):
    """The fence's locks were not to be had; ``why`` names who is in the way."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


def lock_and_fence(ctx: WriteContext, session: WriteSession, tables: list[Table]) -> str:
    """Lock the tables and raise the fence in one message; return the schema's mark as it is then.

    Belongs into a transaction. Raises LockLost naming who is in the way, when the locks are not to be had.
    """
    # lock_timeout bounds the wait for each table, statement_timeout that for all of them.
    bound = str(int(ctx.config.cutover.lock_timeout * 1000))
    names = sql.SQL(", ").join(sql.SQL("only {}").format(t.identifier) for t in tables)
    try:
        with session.together():
            session.execute(DEAD_MAN, [f"{int(ctx.config.cutover.max_pause * 1000)}ms"])
            session.execute(STATEMENT_TIMEOUT, [bound])
            if tables:
                session.run(sql.SQL(LOCK).format(tables=names))
            session.execute(STATEMENT_TIMEOUT, ["0"])
            fence.raise_(session, ctx.names)
            fence.set_read_only(session, ctx.source_server.database, on=True)
        # By itself, because a server that has answered a pipeline does not start the dead man's clock.
        return gates.schema_mark(session)
    except TimedOut as error:
        raise LockLost(_suspects(ctx, tables)) from error
    except StatementFailed as error:
        if error.sqlstate not in GIVE_WAY:
            raise
        raise LockLost(_suspects(ctx, tables)) from error


def _suspects(ctx: WriteContext, tables: list[Table]) -> str:
    oids = [t.oid for t in tables]
    held = [name_holders(ctx.source, ctx.names, oids), *gates.nothing_is_prepared(ctx)]
    found = "; ".join(filter(None, held)) or "a transaction that has just ended"
    after = ctx.config.cutover.terminate_blockers_after
    ended = end_holders(ctx.write_source, ctx.names, oids, older_than=after)
    return f"{found}; ended {', '.join(f'pid {pid}' for pid in ended)}" if ended else found
