"""Build the indexes, with the primary keys and unique constraints that the stream needs first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy import foreign_keys, post_data
from migrator.copy.indexes import build
from migrator.errors import VerifyFailed
from migrator.pg.catalog import index_names
from migrator.pg.dump import Part
from migrator.pg.made import drop_made
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Evidence, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class BuildIndexes(Step):
    """Build the indexes, with the primary keys and unique constraints that the stream needs first.

    Changes: primary keys, unique and exclusion constraints and all indexes of tables on the
    destination, as ``pg_dump --section=post-data`` writes them, ``[copy] index_jobs`` at a time. Keys of
    large tables are built as unique indexes, beside the table's other ones, and made keys when all are
    there. Those of published tables are built during the copy already; here is what is left.
    Recognised by: every valid index of a table on the source has its namesake on the destination, which is
    a key where that one is.
    Locks and cost: nothing on the source; CPU, memory and disk on the destination.
    If it fails: each index is committed with its record, small ones together; the next run builds the
    rest.
    Undo: drops what this step made, and first the foreign keys that the copy added, which need it.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the names of the indexes on both sides."""
        wanted, have = index_names(ctx.source), index_names(ctx.destination)
        if wanted <= have:
            built = Registry(ctx.destination, ctx.names).rows(
                "select 1 from {schema}.restored where step = %s limit 1", [self.name]
            )
            return Done({"indexes": len(wanted)}) if built or not wanted else Absent()
        return Partial(f"{len(wanted & have)} of {len(wanted)} indexes") if wanted & have else Absent()

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the indexes, primary keys and unique constraints that are missing."""
        yield from (Statement("destination", sql) for sql in post_data.definitions(ctx, Part.INDEX))

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Build what the copy has not built yet, keys before the rest."""
        build(ctx)

    def verify(self, ctx: ReadContext) -> Evidence:
        """Count again, and name what is missing."""
        missing = index_names(ctx.source) - index_names(ctx.destination)
        if missing:
            raise VerifyFailed(
                f"indexes of the source are not on the destination: {', '.join(sorted(missing)[:10])}",
                hint="migrator advance",
                missing=sorted(missing),
            )
        return super().verify(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Drop what we built."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            with ctx.write_destination.transaction():
                drop_made(registry, foreign_keys.STEP)
                drop_made(registry, self.name)
