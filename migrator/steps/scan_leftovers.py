"""Prove that nothing of ours is left on either server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import VerifyFailed
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

# Everything of our name or mark; an origin without its subscription is nobody's.
LEFTOVERS = """
select 'schema ' || nspname as what from pg_catalog.pg_namespace where nspname = %(schema)s
union all
select 'publication ' || pubname from pg_catalog.pg_publication where pubname = any (%(publication)s)
union all
select 'subscription ' || subname from pg_catalog.pg_subscription where subname = any (%(subscription)s)
union all
select 'replication slot ' || slot_name
from pg_catalog.pg_replication_slots
where slot_name = any (%(slot)s)
union all
select 'trigger ' || tgname || ' on ' || tgrelid::pg_catalog.regclass::text
from pg_catalog.pg_trigger
where tgname = %(fence)s
"""


class ScanLeftovers(Step):
    """Prove that nothing of ours is left on either server.

    Changes: nothing; it only looks.
    Recognised by: no schema, publication, subscription, slot or trigger of ours.
    Locks and cost: none.
    If it fails: the message names what is left and where.
    Undo: nothing to undo.
    """

    gate = True

    def probe(self, ctx: ReadContext) -> Found:
        """Look for everything that carries our name."""
        left = self._left(ctx)
        return Partial(_some(left)) if left else Done({"left": 0})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Refuse to call it clean."""
        left = self._left(ctx)
        raise VerifyFailed(
            f"still there: {_some(left)}",
            hint="drop them by hand, then migrator advance",
            left=left,
        )

    def undo(self, ctx: WriteContext) -> None:
        """Do nothing: a look leaves nothing behind."""

    def _left(self, ctx: ReadContext) -> list[str]:
        names = {
            "schema": ctx.names.schema,
            "fence": ctx.names.fence,
            "publication": [s.publication for s in ctx.names.streams],
            "subscription": [s.subscription for s in ctx.names.streams],
            "slot": [s.slot for s in ctx.names.streams],
        }
        return [
            f"{row.what} on the {session.side}"
            for session in (ctx.source, ctx.destination)
            for row in session.rows(LEFTOVERS, names)
        ]


def _some(left: list[str]) -> str:
    more = f" and {len(left) - 3} more" if len(left) > 3 else ""
    return ", ".join(left[:3]) + more
