"""Open the side that is to take the writes, when the other one has given them away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.database import (
    Properties,
    changes,
    database_properties,
    known_to,
    with_read_only,
    without_late,
)
from migrator.pg.registry import WritableRegistry
from migrator.switchover import drain, fence, prelude, streams
from migrator.switchover.records import CUTOVER, OPENED, handed_over

if TYPE_CHECKING:
    from psycopg import sql

    from migrator.context import ReadContext, WriteContext


@dataclass(frozen=True)
class Settings:
    """The statements that change a database's settings, and which ones its version does not know."""

    statements: tuple[sql.Composed, ...] = ()
    left_out: tuple[str, ...] = ()


NO_SETTINGS = Settings()


def all_settings(ctx: ReadContext) -> Settings:
    """Return what gives the destination all of the source's settings, those that were held back too.

    Timeouts and preloaded libraries are held back until it opens: they would act on the stream's worker.
    """
    # Those of roles that are held read-only there now, as they were.
    before = prelude.before(ctx.source, ctx.names)
    return _settings(ctx, with_read_only(database_properties(ctx.source), before))


def hold_back(ctx: WriteContext) -> None:
    """Take those settings away from the destination again, which receives the stream from now on."""
    session = ctx.write_destination
    # Roles that are held read-only here stay so.
    held = dict.fromkeys(prelude.before(ctx.destination, ctx.names), "on")
    wanted = with_read_only(without_late(database_properties(ctx.source)), held)
    with session.transaction():
        for statement in _settings(ctx, wanted).statements:
            session.run(statement)


def _settings(ctx: ReadContext, wanted: Properties) -> Settings:
    known, left_out = known_to(ctx.destination, wanted)
    now = database_properties(ctx.destination)
    statements = changes("database", ctx.destination_server.database, now, known)
    return Settings(tuple(statements), tuple(left_out))


def open_destination(ctx: WriteContext, settings: Settings = NO_SETTINGS) -> None:
    """Open everything in one transaction, after the last tokens are there and the streams are stopped.

    The tokens are waited for again: the apply worker commits asynchronously, and a server that
    crashed after the switchover may have lost what it had shown. Our own commit is synchronous.
    """
    record = handed_over(ctx) or {}
    if drain.missing(ctx, record["tokens"]):
        streams.enable(ctx)
        ctx.wait_until(
            lambda: not drain.missing(ctx, record["tokens"]),
            what="the stream to bring again what came before the switchover",
            timeout=300,
            explain=lambda: ", ".join(drain.missing(ctx, record["tokens"])),
        )
    if any(s.ours and s.enabled for s in streams.find_subscriptions(ctx)):
        streams.stop(ctx, timeout=60)
    open_at_once(ctx, record["number"], settings)


def opening(ctx: ReadContext, settings: Settings) -> list[sql.Composed]:
    """Return the statements that let writers in on the destination, as if it had always been writable."""
    return [
        fence.lowering(ctx.names),
        fence.read_only(ctx.destination_server.database, on=False),
        prelude.restoring(ctx.names),
        *settings.statements,
    ]


def open_at_once(ctx: WriteContext, number: int, settings: Settings) -> None:
    """Open everything in one transaction; the destination has been seen to be still and complete.

    By the very session that does this, so that no crash can have come between. Whom a program has kept out
    since the destination gave its own writes away is let in right after it. Raises ToolFailed.
    """
    session = ctx.write_destination
    registry = WritableRegistry(session, ctx.names)
    with session.together(), session.transaction():
        for statement in opening(ctx, settings):
            session.run(statement)
        registry.forget(CUTOVER)
        registry.record(OPENED, {"number": number, "settings_left_out": settings.left_out})
        kept_out = session.execute(prelude.is_recorded(ctx.names))
    if kept_out.fetchone():
        ctx.fence.let_in(ctx.mirrored())
