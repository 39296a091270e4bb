"""Run the operator's own programs, each a list of words, without a shell.

Exit code 0 means done. They may be asked for again after a crash, and must then do no harm. Environment,
without passwords:

    MIGRATOR_MIGRATION      the migration's name
    MIGRATOR_DIRECTION      forward, or back
    MIGRATOR_FROM           host:port/database        MIGRATOR_FROM_HOST, _PORT, _DATABASE
    MIGRATOR_TO             the same of the side that takes the writes now, or is to take them
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
    from migrator.context import ReadContext, Roles, Side


def require(key: str, words: tuple[str, ...]) -> None:
    """Make sure that a program exists, if there is one. Raises ToolFailed naming its ``key``."""
    if words and shutil.which(words[0]) is None:
        raise ToolFailed(
            f"{key}: {words[0]!r} is not an executable program",
            hint="give its full path and make it executable",
        )


def run(
    ctx: ReadContext, roles: Roles, key: str, words: tuple[str, ...], *, timeout: float, hint: str
) -> None:
    """Run a program, if there is one, for ``timeout`` seconds at most.

    Raises ToolFailed naming its ``key``, with what it said and the ``hint``.
    """
    if not words:
        return
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
        raise ToolFailed(f"{key} did not end within {timeout:g} s", hint=hint) from error
    except OSError as error:
        raise ToolFailed(f"{key} could not be started: {error}", hint=hint) from error
    if done.returncode != 0:
        said = redact((done.stderr or done.stdout).strip())[-500:]
        raise ToolFailed(f"{key} failed with exit code {done.returncode}: {said}", hint=hint)


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
