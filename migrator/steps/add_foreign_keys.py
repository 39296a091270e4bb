"""Add the foreign keys while the stream goes on, and validate them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from migrator.copy import post_data
from migrator.copy.builder import POOL, build_all, builders
from migrator.copy.foreign_keys import ADDING, adders, foreign_keys, tasks
from migrator.copy.scheduler import Ready, Scheduler
from migrator.pg.dump import Part
from migrator.pg.made import drop_made
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class AddForeignKeys(Step):
    """Add the foreign keys while the stream goes on, and validate them.

    Changes: every foreign key of the source on the destination, first ``not valid`` (which takes its
    lock for an instant), then validated, ``[copy] index_jobs`` at a time; one that is not valid on the
    source stays so.
    Recognised by: every foreign key of the source has its namesake, as valid as there.
    Locks and cost: nothing on the source. On the destination ``share row exclusive`` for an instant,
    given up and tried again when the stream's worker is in the way; then a scan per key.
    If it fails: each key is committed by itself; the next run adds and validates the rest.
    Undo: drops what this step made.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the foreign keys of both sides."""
        wanted = {k.key: k.valid for k in foreign_keys(ctx.source)}
        have = {k.key: k.valid for k in foreign_keys(ctx.destination)}
        good = [k for k, valid in wanted.items() if k in have and (have[k] or not valid)]
        if len(good) == len(wanted):
            return Done({"foreign_keys": len(wanted)})
        return Partial(f"{len(good)} of {len(wanted)} foreign keys") if have else Absent()

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the foreign keys that are missing; they are added as not valid, then validated."""
        yield from (Statement("destination", sql) for sql in post_data.definitions(ctx, Part.FOREIGN_KEY))

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Add what the copy has not added, then validate what is to be valid."""
        dump = post_data.dump(ctx)
        entries = {e.object_oid: e for e in post_data.missing(ctx, dump, Part.FOREIGN_KEY)}
        valid = {k.key for k in foreign_keys(ctx.destination) if k.valid}
        wanted = {k: entries.get(k.oid) for k in foreign_keys(ctx.source) if k.key not in valid}
        done = 0

        def tell(_name: str) -> None:
            nonlocal done
            done += 1
            ctx.progress(done, len(wanted), "foreign keys")

        pool = builders(ctx)
        scheduler = Scheduler({POOL: pool, ADDING: adders(pool)})
        build_all(ctx, tasks(ctx, dump, wanted, Ready(), tell), scheduler)

    def undo(self, ctx: WriteContext) -> None:
        """Drop what we added."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            with ctx.write_destination.bounded(LOCK_TIMEOUT):
                # The stream still goes on: its worker may hold what we want, and want what we hold.
                patiently(partial(drop_made, registry, self.name), ctx.sleep, what=f"undoing {self.name}")
