"""Install our schema on both servers and pin them to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg import identities
from migrator.pg.registry import Ownership, Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class PinServers(Step):
    """Install our schema on both servers and pin them to each other.

    Changes: creates schema ``migrator_…`` on source and destination, with the heartbeat, the journal
    and the list of what we make, and records in both which cluster is the other.
    Recognised by: both schemas with our mark, both pins equal to the servers connected to.
    Locks and cost: none that others feel; milliseconds.
    If it fails: each side is created in one transaction; run the same command again.
    Undo: gives tables back the replica identity that ``check-repl --apply`` changed, and drops both schemas.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the pins recorded on both sides with the servers as they are."""
        pinned, unpinned = 0, ""
        for session in (ctx.source, ctx.destination):
            registry = Registry(session, ctx.names)
            ownership = registry.ownership()
            if ownership is Ownership.FOREIGN:
                return Conflict(
                    f"the {session.side} has a schema {ctx.names.schema} without our mark",
                    "rename or drop it, or give the migration another name",
                )
            if ownership is Ownership.OURS:
                pin = registry.read("pin")
                if pin is None:  # made to record replica identities in, before anything was planned
                    unpinned = f"the {session.side} has our schema and is not pinned"
                elif pin != _pin(ctx):
                    return Conflict(
                        f"the {session.side} is pinned to other servers: {pin}, not {_pin(ctx)}",
                        "give this migration another name",
                    )
                else:
                    pinned += 1
        if unpinned:
            return Partial(unpinned)
        return (Absent(), Partial("one of two servers is pinned"), Done(_pin(ctx)))[pinned]

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what creates our schema where it is missing."""
        for session in (ctx.source, ctx.destination):
            registry = Registry(session, ctx.names)
            if registry.ownership() is Ownership.ABSENT:
                yield Statement(session.side, registry.creation.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create what is missing, side by side with its pin."""
        for session in (ctx.write_source, ctx.write_destination):
            registry = WritableRegistry(session, ctx.names)
            with session.transaction():
                if registry.ownership() is Ownership.ABSENT:
                    registry.create()
                registry.record("pin", _pin(ctx))

    def undo(self, ctx: WriteContext) -> None:
        """Give back the replica identities that we set, then drop both schemas, where they are ours."""
        identities.give_back(ctx.names, ctx.write_source, ctx.write_destination, ctx.sleep, ctx.note)
        for session in (ctx.write_destination, ctx.write_source):
            registry = WritableRegistry(session, ctx.names)
            if registry.is_ours():
                registry.drop()


def _pin(ctx: ReadContext) -> dict[str, str]:
    return {
        "source": ctx.source_server.system_identifier,
        "destination": ctx.destination_server.system_identifier,
    }
