"""Run the operator's own programs, each a list of words, without a shell.

``[router.command] disable_source`` runs when the side that took the writes is fenced, ``re_route`` when
the other one takes them. Both may run again after a crash, and both run again, with the sides exchanged,
when the cutover is taken back. Exit code 0 means done; anything else stops there, with the first side
fenced, and the same command resumes it. Their environment is that of ``migrator/programs.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator import programs

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, Roles, WriteContext


class CommandRouter:
    """Run the configured programs."""

    instant = False

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Make sure that the programs exist."""
        options = ctx.config.router.command
        for key, words in (
            ("disable_source", options.disable_source),
            ("re_route", options.re_route),
        ):
            programs.require(f"[router.command] {key}", words)

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
    programs.run(
        ctx,
        roles,
        f"[router.command] {key}",
        words,
        timeout=ctx.config.router.command.timeout,
        hint=f"mend the program, then run the same command again; the {roles.publisher} stays fenced",
    )


ROUTER = CommandRouter
