"""Run the operator's own programs, each a list of words, without a shell.

``[router.command] disable_source`` runs when the side that took the writes is fenced, ``re_route`` when
the other one takes them. Both may run again after a crash, and both run again, with the sides exchanged,
when the cutover is taken back. Exit code 0 means done; anything else stops there, with the first side
fenced, and the same command resumes it. Environment, without passwords:

    MIGRATOR_MIGRATION      the migration's name
    MIGRATOR_DIRECTION      forward, or back
    MIGRATOR_FROM           host:port/database        MIGRATOR_FROM_HOST, _PORT, _DATABASE
    MIGRATOR_TO             the same of the side that takes the writes now
    MIGRATOR_SOURCE         the same of the source, whichever way it goes
    MIGRATOR_DESTINATION    the same of the destination
"""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from migrator.errors import ToolFailed
from migrator.pg.redact import redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, Roles, Side, WriteContext


class CommandRouter:
    """Run the configured programs."""

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
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

    def prepare(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to prepare."""

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """Leave it to the fence."""

    def resume(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to let go."""

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Run ``disable_source``, if there is one."""
        _run(ctx, roles, "disable_source", ctx.config.router.command.disable_source)

    def switch(self, ctx: WriteContext, roles: Roles, then: Callable[[], object]) -> None:
        """Run ``re_route``."""
        _run(ctx, roles, "re_route", ctx.config.router.command.re_route)
        then()

    def release(self) -> None:
        """Have nothing open."""


def _run(ctx: WriteContext, roles: Roles, key: str, words: tuple[str, ...]) -> None:
    if not words:
        return
    hint = f"mend the program, then run the same command again; the {roles.publisher} stays fenced"
    timeout = ctx.config.router.command.timeout
    try:
        done = subprocess.run(
            words,
            env={**os.environ, **environment(ctx, roles)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ToolFailed(
            f"[router.command] {key} did not end within {timeout:g} s",
            hint=hint,
        ) from error
    except OSError as error:
        raise ToolFailed(
            f"[router.command] {key} could not be started: {error}",
            hint=hint,
        ) from error
    if done.returncode != 0:
        said = redact((done.stderr or done.stdout).strip())[-500:]
        raise ToolFailed(
            f"[router.command] {key} failed with exit code {done.returncode}: {said}",
            hint=hint,
        )


def environment(ctx: ReadContext, roles: Roles) -> dict[str, str]:
    """Return what the programs are told; no password is among it."""
    told = {
        "MIGRATOR_MIGRATION": ctx.names.migration,
        "MIGRATOR_DIRECTION": "forward" if roles.publisher == "source" else "back",
    }
    sides: tuple[tuple[str, Side], ...] = (
        ("FROM", roles.publisher),
        ("TO", roles.subscriber),
        ("SOURCE", "source"),
        ("DESTINATION", "destination"),
    )
    for name, side in sides:
        info = ctx.reader(side).connection.info
        told |= {
            f"MIGRATOR_{name}": ctx.server(side).where,
            f"MIGRATOR_{name}_HOST": info.host,
            f"MIGRATOR_{name}_PORT": str(info.port),
            f"MIGRATOR_{name}_DATABASE": ctx.server(side).database,
        }
    return told


ROUTER = CommandRouter
