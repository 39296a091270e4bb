"""Give tables back the replica identity that they had before migrator check-repl changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg import identities
from migrator.pg.registry import Registry
from migrator.step import Absent, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.identities import Given


class GiveBackIdentities(Step):
    """Give tables back the replica identity that they had before migrator check-repl changed it.

    Changes: the identity of the tables that ``check-repl --apply`` has set it of, on both sides, because
    the destination's schema is the source's. A table that somebody has changed since stays as it is, and
    one that is in somebody else's publication, which needs it.
    Recognised by: our list on the source, and the identities as they are now.
    Locks and cost: ``access exclusive`` for an instant per table, given up and tried again when somebody
    is in the way.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the identities with the list."""
        left = [given for _, given in _ours(ctx)]
        return Partial(f"{len(left)} tables have the identity that migrator set") if left else Done()

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what each gets."""
        for side, given in _ours(ctx):
            yield Statement(side, given.statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Go table by table."""
        identities.give_back(ctx.names, ctx.write_source, ctx.write_destination, ctx.sleep, ctx.note)


def _ours(ctx: ReadContext) -> list[tuple[str, Given]]:
    registry = Registry(ctx.source, ctx.names)
    return [
        (session.side, given)
        for session in (ctx.destination, ctx.source)
        for given in identities.to_give_back(registry, session)
        if not given.why_not
    ]
