"""Write down what both schemas are, so that the cutover can tell whether they have gone apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.events import StepNote
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Done, Evidence, Found, Partial, Step
from migrator.switchover import drift
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class RecordSchema(Step):
    """Write down what both schemas are, so that the cutover can tell whether they have gone apart.

    Changes: a fingerprint of every table, column, type, index, constraint, function, trigger, view, policy
    and grant in the destination's journal; the source's was written when its schema was dumped. Within
    ``migrator refresh`` both are written anew, and what is not the same then is accepted as it is.
    Recognised by: the fingerprint in the journal, and nothing changed since.
    Locks and cost: reads the catalogs, some seconds for ten thousand tables.
    If it fails: run the same command again.
    Undo: forgets the destination's.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare both schemas with what is recorded."""
        if handed_over(ctx) is not None:
            return Done({"cutover": True})
        if drift.recorded(ctx.destination, ctx.names) is None:
            return Absent()
        found = drift.find(ctx)
        if found.apart:
            return Partial(f"gone apart: {', '.join(found.apart[: drift.SHOWN])}")
        if found.changed:
            return Partial(f"changed on both sides: {', '.join(sorted(found.changed)[: drift.SHOWN])}")
        return Done()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Record the destination's for the first time, or both anew and what is not the same."""
        if isinstance(found, Absent):
            drift.record(ctx.write_destination, ctx.names)
            return
        drift.record(ctx.write_source, ctx.names)
        drift.record(ctx.write_destination, ctx.names)
        if apart := drift.find(ctx).apart:
            drift.record(ctx.write_destination, ctx.names, apart)
        for line in apart:
            ctx.note(f"accepted as it is: {line}")

    def verify(self, ctx: ReadContext) -> Evidence:
        """Show how many objects there are, and which have gone apart by now: the cutover's gate decides."""
        known = drift.recorded(ctx.destination, ctx.names)
        if known is None:
            return super().verify(ctx)
        count = len(known.pop("objects"))
        apart = drift.find(ctx).apart
        if apart:
            ctx.emit(StepNote(ctx.step, f"not the same on both sides: {', '.join(apart[: drift.SHOWN])}"))
        return {"objects": count, "apart": apart}

    def undo(self, ctx: WriteContext) -> None:
        """Forget the destination's."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            registry.forget(drift.SCHEMA)
