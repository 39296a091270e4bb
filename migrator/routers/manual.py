"""The operator routes the application by hand; migrator asks, then believes the answer.

The fence makes this safe: whoever still writes to the side it closed gets an error, never a lost row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import Declined

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, Roles, WriteContext


class ManualRouter:
    """Ask, and wait for the answer."""

    instant = False

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Have nothing to try out."""

    def prepare(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to prepare."""

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """Leave it to the fence."""

    def resume(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to let go."""

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Leave it to the fence."""

    def switch(self, ctx: WriteContext, roles: Roles, then: Callable[[], object]) -> None:
        """Tell where to point the application, and ask whether it is done."""
        where = ctx.server(roles.subscriber).where
        ctx.note(f"point the application to {where}: the {roles.subscriber} takes writes now")
        if not ctx.confirm(f"Is the application pointed to {where}?"):
            raise Declined(
                f"the application is not pointed to {where} yet; the {roles.publisher} stays fenced",
                hint="point it there, then run the same command again",
            )
        then()

    def release(self) -> None:
        """Have nothing open."""


ROUTER = ManualRouter
