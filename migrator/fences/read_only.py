"""Make the side read-only and end its sessions, for transactions that would never let the locks through.

The fence's triggers refuse writes, the database is read-only by default, and so is every role with a default
of its own: in one transaction, which is committed. Then every session from before it is ended. The locks that
follow find nobody. A watchdog undoes it at once when we die, or stand still.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from migrator.errors import GateClosed
from migrator.fences.undoing import undo
from migrator.pg.registry import WritableRegistry
from migrator.switchover import fence, prelude, sessions
from migrator.watchdog import Watchdog

if TYPE_CHECKING:
    from datetime import datetime

    from migrator.context import ReadContext, WriteContext

NOW = "select pg_catalog.clock_timestamp()"
# Seconds beyond twice the longest pause, in which we have surely gone on, or stand still.
STANDS_STILL = 5.0


class ReadOnlyFence:
    """Have a watchdog watch, commit, and end the sessions."""

    def __init__(self) -> None:
        self._watchdog = Watchdog()
        self._token = ""
        self._is_held = False

    def probe(self, ctx: ReadContext) -> None:
        """Make sure that every role which has a default of its own can be altered."""
        theirs = [row.role for row in prelude.overriding(ctx.source) if not row.alterable]
        if theirs:
            raise GateClosed(
                f"role {ctx.source_server.role} may not alter these roles of the {ctx.source.side}, which "
                f"have default_transaction_read_only = off: {', '.join(theirs)}",
                hint="have them altered, or let migrator be a superuser",
            )

    def prepare(self, ctx: WriteContext) -> None:
        """Have somebody see to it should we die."""
        undo(ctx)
        self._watchdog.dismiss()
        self._token = uuid.uuid4().hex
        if not self._watchdog.start_on_server(
            ctx.source_server.conninfo,
            prelude.releasing(ctx.names, self._token).as_string(None),
            ctx.names.application,
            within=2 * ctx.config.cutover.max_pause + STANDS_STILL,
        ):
            ctx.note(
                "no watchdog can be started: should this process be killed now, "
                f"the {ctx.source.side} is read-only until the same command is run again"
            )

    def keep_out(self, ctx: WriteContext, number: int, timeout: float) -> bool:
        """Commit it, then end every session that began before that, and again until none is left."""
        began = ctx.now()
        self._is_held = True
        self._watchdog.hold()
        since = self._commit(ctx, number)
        sessions.end_older(ctx, since, timeout=max(timeout - (ctx.now() - began), 0.1), interval=0.005)
        return True

    def let_in(self, ctx: WriteContext) -> None:
        """Undo it, from the record."""
        undo(ctx)
        self._is_held = False

    def release(self) -> None:
        """End the watchdog; where nobody is surely let in, by leaving it to look for itself."""
        if self._is_held:
            self._watchdog.leave()
        else:
            self._watchdog.dismiss()

    def _commit(self, ctx: WriteContext, number: int) -> datetime:
        """Return a moment at which it was surely committed, by the server's clock."""
        session, database = ctx.write_source, ctx.source_server.database
        with session.bounded(ctx.config.cutover.lock_timeout), session.transaction():
            fence.raise_(session, ctx.names)
            fence.set_read_only(session, database, on=True)
            roles = prelude.hold_roles(session, database)
            record = prelude.record(number, "read_only", self._token, roles)
            WritableRegistry(session, ctx.names).record(prelude.FENCING, record)
        moment: datetime = session.value(NOW)
        return moment


FENCE = ReadOnlyFence
