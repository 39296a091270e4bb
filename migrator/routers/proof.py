"""Prove where a client arrives: ask through the router who answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from migrator.errors import MigratorError, VerifyFailed
from migrator.pg.pooler import who_answers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.context import ReadContext, Side

INTERVAL = 0.05
# A pooler hands the session that we looked through to its clients, with the name that it had with us:
# under ours a client without a name would be taken for what a killed run has left, and be ended.
NAMELESS = ""


def prove(ctx: ReadContext, side: Side, urls: Iterable[str], timeout: float, *, patient: bool = True) -> None:
    """Make sure that a client of every url comes to ``side``, within ``timeout`` seconds each.

    Only the ``patient`` try more than once. Raises VerifyFailed saying where a client with that url
    comes to, or what it gets to see.
    """
    server = ctx.server(side)
    wanted = (server.system_identifier, server.database)
    for url in urls:
        deadline = time.monotonic() + timeout
        while why := _elsewhere(ctx, url, wanted, deadline - time.monotonic()):
            if not patient or time.monotonic() + INTERVAL > deadline:
                raise VerifyFailed(
                    f"a client does not come to the {side} ({server.where}): {why}",
                    hint="psql must come there from here by probe_urls; then run the same command again",
                )
            time.sleep(INTERVAL)


def _elsewhere(ctx: ReadContext, url: str, wanted: tuple[str, str], timeout: float) -> str:
    try:
        found = who_answers(url, application=NAMELESS, timeout=timeout)
    except MigratorError as error:
        return error.message
    if found == wanted:
        return ""
    sides = {
        (ctx.server(side).system_identifier, ctx.server(side).database): side
        for side in ("source", "destination")
    }
    return f"it comes to {sides.get(found, 'another server')}, database {found[1]!r}"
