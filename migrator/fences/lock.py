"""Leave it to the locks of the hand-over itself: whoever writes waits for its end, and sees no error."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.fences.undoing import undo

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class LockFence:
    """Do nothing before the locks."""

    def probe(self, ctx: ReadContext) -> None:
        """Have nothing to make sure of."""

    def prepare(self, ctx: WriteContext) -> None:
        """Have nothing to prepare."""

    def keep_out(self, ctx: WriteContext, number: int, timeout: float) -> bool:
        """Leave it to the locks."""
        return False

    def let_in(self, ctx: WriteContext) -> None:
        """Undo what another kind of fence has left."""
        undo(ctx)

    def release(self) -> None:
        """Have nothing open."""


FENCE = LockFence
