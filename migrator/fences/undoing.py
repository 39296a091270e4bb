"""Undo what a fence of any kind has left; which it was says the record on the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator import programs
from migrator.errors import ConnectionLost
from migrator.pg.conninfo import impatient
from migrator.pg.session import WriteSession
from migrator.switchover import prelude

if TYPE_CHECKING:
    from migrator.context import WriteContext

BY_HAND = "let them in by hand"


def undo(ctx: WriteContext) -> None:
    """Let in whom a hand-over has kept out of the source, unless its cutover is committed there.

    By a new connection where the old one is lost. Raises ToolFailed when the operator's program fails.
    """
    try:
        _undo(ctx, ctx.write_source)
    except ConnectionLost:
        with WriteSession.open(
            impatient(ctx.source_server.conninfo, ctx.config.cutover.max_pause),
            side=ctx.source.side,
            application=ctx.names.application,
        ) as session:
            _undo(ctx, session)


def _undo(ctx: WriteContext, session: WriteSession) -> None:
    record = prelude.left(session, ctx.names)
    if record is None:
        return
    if record["kind"] == "command":
        options = ctx.config.fence.command
        if not options.release:
            ctx.note(f"a program kept writers out, and [fence.command] release is not set: {BY_HAND}")
        programs.run(
            ctx,
            ctx.roles,
            "[fence.command] release",
            options.release,
            timeout=options.timeout,
            hint=f"writers may be kept out of the {ctx.source.side}: mend the program, then run the same "
            "command again",
        )
    session.run(prelude.releasing(ctx.names, record["token"]))
    ctx.note(f"writers are let in to the {ctx.source.side} again")
