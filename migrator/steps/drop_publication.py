"""Drop the publications on both sides."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg import publication
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class DropPublication(Step):
    """Drop the publications on both sides.

    Changes: drops our publications, one for each stream and each way.
    Recognised by: no publication of our name.
    Locks and cost: none.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the publications and their marks."""
        for session in (ctx.source, ctx.destination):
            theirs = publication.in_the_way(session, ctx.names)
            if theirs:
                return Conflict(f"publication {theirs} on the {session.side} does not carry our mark")
        left = [s for s in (ctx.source, ctx.destination) if publication.published_streams(s, ctx.names)]
        return Partial(f"left on the {left[0].side}") if left else Done({"dropped": ctx.names.publication})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what drops each."""
        for session in (ctx.destination, ctx.source):
            for statement in publication.dropping(session, ctx.names):
                yield Statement(session.side, statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop them, on each side all or none."""
        for session in (ctx.write_destination, ctx.write_source):
            publication.drop(session, ctx.names)
