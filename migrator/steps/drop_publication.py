"""Drop the publication on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg import publication
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class DropPublication(Step):
    """Drop the publication on the source.

    Changes: drops our publications, one for each stream.
    Recognised by: no publication of our name.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the publications and their marks."""
        theirs = publication.in_the_way(ctx.source, ctx.names)
        if theirs:
            return Conflict(f"publication {theirs} does not carry our mark")
        if publication.published_streams(ctx.source, ctx.names):
            return Absent()
        return Done({"dropped": ctx.names.publication})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop them, all or none."""
        publication.drop(ctx.write_source, ctx.names)
