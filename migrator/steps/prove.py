"""Prove that the destination had the source's rows when it took the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Step
from migrator.switchover import proof
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class Prove(Step):
    """Prove that the destination had the source's rows when it took the writes.

    Changes: the verdict in the destination's journal. Where ``[cutover] prove`` is true (the default),
    ``hand_over`` took a snapshot of each side inside the fence; every table's rows are compared on them,
    count and content, ``[copy] jobs`` tables at a time, while the application goes on. Where hashes differ
    the values decide. The state store gets each table's verdict, and what became of rows that ``migrator
    diff`` could not decide.
    Recognised by: the verdict on this cutover, whatever it is: equal, different, or not made.
    Locks and cost: each table is read once on both sides under ``access share``, which a schema change
    on that table waits for; vacuum keeps on both sides what the snapshots see until the end.
    If it fails: it does not. A difference is told with its first rows, and ``migrator status`` goes on
    telling it. When the command ends before the comparison does, the snapshots are gone: the next run
    says that the proof is not made, and goes on.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the verdict."""
        if handed_over(ctx) is None:
            return Absent()
        found = proof.proof(ctx)
        if found is not None:
            return Done(found)
        return Absent() if ctx.config.cutover.prove else Done({"prove": False})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Compare, and record what was found."""
        proof.prove(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: the verdict goes with our schema."""
