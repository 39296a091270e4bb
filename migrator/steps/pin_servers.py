"""Install our schema on both servers and pin them to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.registry import Ownership, Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class PinServers(Step):
    """Install our schema on both servers and pin them to each other.

    Changes: creates schema ``migrator_…`` on source and destination, with the heartbeat, the journal
    and the list of what we make, and records in both which cluster is the other.
    Recognised by: both schemas with our mark, both pins equal to the servers connected to.
    Locks and cost: none that others feel; milliseconds.
    If it fails: each side is created in one transaction; run the same command again.
    Undo: drops both schemas.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the pins recorded on both sides with the servers as they are."""
        ours = 0
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
                if pin != _pin(ctx):
                    return Conflict(
                        f"the {session.side} is pinned to other servers: {pin}, not {_pin(ctx)}",
                        "give this migration another name",
                    )
                ours += 1
        return (Absent(), Partial("one of two servers is pinned"), Done(_pin(ctx)))[ours]

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create what is missing, side by side with its pin."""
        for session in (ctx.write_source, ctx.write_destination):
            registry = WritableRegistry(session, ctx.names)
            if registry.ownership() is Ownership.ABSENT:
                with session.transaction():
                    registry.create()
                    registry.record("pin", _pin(ctx))

    def undo(self, ctx: WriteContext) -> None:
        """Drop both schemas, where they are ours."""
        for session in (ctx.write_destination, ctx.write_source):
            registry = WritableRegistry(session, ctx.names)
            if registry.is_ours():
                registry.drop()


def _pin(ctx: ReadContext) -> dict[str, str]:
    return {
        "source": ctx.source_server.system_identifier,
        "destination": ctx.destination_server.system_identifier,
    }
