"""The operator routes the application by hand; migrator asks, then believes the answer.

The fence makes this safe: whoever still writes to the source gets an error, never a lost row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import Declined

if TYPE_CHECKING:
    from migrator.context import WriteContext


class ManualRouter:
    """Ask, and wait for the answer."""

    def probe(self, ctx: WriteContext) -> None:
        """Have nothing to try out."""

    def close_source(self, ctx: WriteContext) -> None:
        """Leave it to the fence."""

    def point_to_destination(self, ctx: WriteContext) -> None:
        """Tell where to point the application, and ask whether it is done."""
        where = ctx.destination_server.where
        ctx.note(f"point the application to {where}: the destination takes writes now")
        if not ctx.confirm(f"Is the application pointed to {where}?"):
            raise Declined(
                f"the application is not pointed to {where} yet; the source stays fenced",
                hint="point it there, then migrator advance",
            )


ROUTER = ManualRouter()
