"""Prove that the source had the destination's rows when it took the writes back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import proof
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class ProveBack(Step):
    """Prove that the source had the destination's rows when it took the writes back.

    Changes: the verdict in the source's journal. It is what ``prove`` does, with the roles swapped, on
    snapshots that ``hand_back`` took.
    Recognised by: the verdict on this way back, whatever it is.
    Locks and cost: as ``prove``.
    If it fails: it does not; a proof that was cut short is not made.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the verdict."""
        back = ctx.mirrored()
        if handed_over(back) is None:
            return Absent()
        found = proof.proof(back)
        if found is not None:
            return Done(found)
        return Absent() if ctx.config.cutover.prove else Done({"prove": False})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Compare, and record what was found."""
        proof.prove(ctx.mirrored())

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: the verdict goes with our schema."""
