"""Drop the publication on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg import publication
from migrator.pg.registry import Ownership
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropPublication(Step):
    """Drop the publication on the source.

    Changes: drops our publication.
    Recognised by: no publication of our name.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the publication and its mark."""
        match publication.ownership(ctx.source, ctx.names):
            case Ownership.ABSENT:
                return Done({"dropped": ctx.names.publication})
            case Ownership.FOREIGN:
                return Conflict(f"publication {ctx.names.publication} does not carry our mark")
            case Ownership.OURS:
                return Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop it."""
        publication.drop(ctx.write_source, ctx.names)
