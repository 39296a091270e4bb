"""Copy what the stream does not carry: unlogged tables and large objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy import large_objects, unlogged
from migrator.errors import Conflict as ConflictError
from migrator.pg.large_objects import foreign_large_objects
from migrator.pg.registry import Registry
from migrator.step import Absent, Conflict, Done, Evidence, Found, Partial, Step
from migrator.switchover import unstreamed

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class CopyUnstreamed(Step):
    """Copy what the stream does not carry: unlogged tables and large objects.

    Changes: where ``[tables] unlogged`` and ``large_objects`` say ``copy``: fills the unlogged tables on
    the destination, and makes there the large objects of the source, with their oids, owners, grants and
    comments. Both are copied again in the cutover, while writes are held back: the tables as a whole, of
    the large objects those that have changed. With any other policy it does nothing.
    Recognised by: a record of each such table that is on the destination, and of a whole pass over the
    large objects. A table made since is taken in by ``migrator refresh``; the cutover's gates ask for it.
    Locks and cost: ``access share`` on the tables, ``row exclusive`` on ``pg_largeobject``, neither in
    anybody's way; all the unlogged tables are one transaction on the destination.
    If it fails: large objects that are in stay; the tables that were under way are copied anew.
    Undo: empties the tables, removes the large objects that were made here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare what is to be copied with what is recorded."""
        registry = Registry(ctx.destination, ctx.names)
        if unstreamed.copies_large_objects(ctx):
            strangers = foreign_large_objects(registry)
            if strangers:
                return Conflict(
                    "the destination holds large objects that migrator did not make: "
                    + ", ".join(map(str, strangers)),
                    "unlink them (select lo_unlink(oid)), or name another, empty database as the destination",
                )
        missing = unstreamed.to_copy(ctx)
        if not missing:
            return Done(self._evidence(ctx))
        if unlogged.copied(ctx) or large_objects.begun(registry):
            return Partial(f"not copied yet: {', '.join(missing[:10])}")
        return Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Copy the tables that are not in, and make a whole pass over the large objects."""
        left = unlogged.to_copy(ctx)
        others = unlogged.not_ours(Registry(ctx.destination, ctx.names), left)
        if others:
            raise ConflictError(
                "these unlogged tables of the destination were not made there by migrator: "
                + ", ".join(t.label for t in others[:10]),
                hint="migrator rollback-to planned, then migrator advance",
            )
        done = 0

        def sent(size: int) -> None:
            nonlocal done
            done += size
            ctx.progress(done, done, "bytes")

        unstreamed.copy_tables(ctx, ctx.source, left, sent)
        unstreamed.copy_objects(ctx, ctx.source, sent)

    def undo(self, ctx: WriteContext) -> None:
        """Empty the tables, remove the large objects."""
        unstreamed.empty(ctx)

    def _evidence(self, ctx: ReadContext) -> Evidence:
        tables = unlogged.copied(ctx)
        objects = large_objects.record(Registry(ctx.destination, ctx.names)) or {}
        found = {
            "tables": len(tables),
            "rows": sum(t.rows for t in tables.values()),
            "large_objects": objects.get("objects", 0),
            "bytes": sum(t.bytes for t in tables.values()) + objects.get("bytes", 0),
        }
        return {what: count for what, count in found.items() if count}
