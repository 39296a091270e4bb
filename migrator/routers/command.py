"""Run the operator's own programs, each a list of words, without a shell.

``[router.command] disable_source`` runs when the source is fenced, ``re_route`` when the destination
takes writes. Both may run again after a crash. Exit code 0 means done; anything else stops the
cutover there, with the source fenced, and the same command resumes it. Environment, without passwords:

    MIGRATOR_MIGRATION      the migration's name
    MIGRATOR_DIRECTION      forward
    MIGRATOR_SOURCE         host:port/database        MIGRATOR_SOURCE_HOST, _PORT, _DATABASE
    MIGRATOR_DESTINATION    host:port/database        MIGRATOR_DESTINATION_HOST, _PORT, _DATABASE
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from migrator.errors import ToolFailed
from migrator.pg.redact import redact

if TYPE_CHECKING:
    from migrator.context import WriteContext
    from migrator.pg.server import Server
    from migrator.pg.session import ReadSession


class CommandRouter:
    """Run the configured programs."""

    def probe(self, ctx: WriteContext) -> None:
        """Make sure that the programs exist."""
        options = ctx.config.router.command
        for key, words in (
            ("disable_source", options.disable_source),
            ("re_route", options.re_route),
        ):
            if words and shutil.which(words[0]) is None:
                raise ToolFailed(
                    f"[router.command] {key}: {words[0]!r} is not an executable program",
                    hint="give its full path and make it executable",
                )

    def close_source(self, ctx: WriteContext) -> None:
        """Run ``disable_source``, if there is one."""
        _run(ctx, "disable_source", ctx.config.router.command.disable_source)

    def point_to_destination(self, ctx: WriteContext) -> None:
        """Run ``re_route``."""
        _run(ctx, "re_route", ctx.config.router.command.re_route)


def _run(ctx: WriteContext, key: str, words: tuple[str, ...]) -> None:
    if not words:
        return
    timeout = ctx.config.router.command.timeout
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **environment(ctx)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(
            f"[router.command] {key} did not end within {timeout:g} s",
            hint="mend the program, then migrator advance; the source stays fenced",
        ) from error
    except OSError as error:
        raise ToolFailed(
            f"[router.command] {key} could not be started: {error}",
            hint="mend the program, then migrator advance; the source stays fenced",
        ) from error
    if done.returncode != 0:
        said = redact((done.stderr or done.stdout).strip())[-500:]
        raise ToolFailed(
            f"[router.command] {key} failed with exit code {done.returncode}: {said}",
            hint="mend the program, then migrator advance; the source stays fenced",
        )


def environment(ctx: WriteContext) -> dict[str, str]:
    """Return what the programs are told; no password is among it."""
    told = {"MIGRATOR_MIGRATION": ctx.names.migration, "MIGRATOR_DIRECTION": "forward"}
    sides: tuple[tuple[str, Server, ReadSession], ...] = (
        ("SOURCE", ctx.source_server, ctx.source),
        ("DESTINATION", ctx.destination_server, ctx.destination),
    )
    for side, server, session in sides:
        info = session.connection.info
        told |= {
            f"MIGRATOR_{side}": server.where,
            f"MIGRATOR_{side}_HOST": info.host,
            f"MIGRATOR_{side}_PORT": str(info.port),
            f"MIGRATOR_{side}_DATABASE": server.database,
        }
    return told


ROUTER = CommandRouter()
