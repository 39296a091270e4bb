"""Drop our schema on both servers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Ownership, Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class DropRegistry(Step):
    """Drop our schema on both servers.

    Changes: drops schema ``migrator_…`` with the heartbeat and the journal. What happened stays on
    record in the state store (``migrator history``).
    Recognised by: no schema of our name on either side.
    Locks and cost: none that others feel.
    If it fails: run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the schemas and their marks."""
        found = {s.side: Registry(s, ctx.names).ownership() for s in (ctx.source, ctx.destination)}
        foreign = [side for side, whose in found.items() if whose is Ownership.FOREIGN]
        if foreign:
            return Conflict(f"schema {ctx.names.schema} on the {foreign[0]} lost our mark")
        left = [side for side, whose in found.items() if whose is Ownership.OURS]
        if not left:
            return Done({"dropped": ctx.names.schema})
        return Absent() if len(left) == len(found) else Partial(f"left on the {left[0]}")

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what drops the schemas."""
        for session in (ctx.destination, ctx.source):
            registry = Registry(session, ctx.names)
            if registry.is_ours():
                yield Statement(session.side, registry.removal.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Drop them; the source's last, because it knows of the cutover."""
        for session in (ctx.write_destination, ctx.write_source):
            registry = WritableRegistry(session, ctx.names)
            if registry.is_ours():
                registry.drop()
