"""Bring every sequence of the destination to the source's position, plus the shift."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.errors import VerifyFailed
from migrator.pg.catalog_sequences import sequences as catalog_sequences
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Evidence, Found, Partial, Statement, Step
from migrator.switchover import sequences

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

EVENT = "sequences"


class SyncSequences(Step):
    """Bring every sequence of the destination to the source's position, plus the shift.

    Changes: ``setval`` on every sequence of the destination that is behind: owned, identity and
    standalone ones, descending and cycling ones; never backwards. The cutover does it once more,
    inside the fence.
    Recognised by: our record, and no sequence of the destination behind the source's, shifted by as much as
    is wanted now.
    Locks and cost: none; two queries however many sequences there are.
    If it fails: all or nothing; run the same command again.
    Undo: every sequence of the destination returns to its start, as the restored schema made it.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare the positions on both sides."""
        if Registry(ctx.source, ctx.names).read("cutover") is not None:
            return Done({"cutover": True})
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        if record is None:
            return Absent()
        source = sequences.read(ctx.source)
        late = sequences.behind(source, sequences.read(ctx.destination))
        if late:
            return Partial(f"{len(late)} of {len(source)} sequences are behind")
        if record.get("shift", 0) < ctx.config.sequences.shift:
            return Partial(f"they were shifted by {record.get('shift', 0)}")
        return Done({"sequences": len(source)})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell each sequence that would be set, as of now."""
        for position in self._wanted(ctx):
            yield Statement("destination", sequences.setting(position).as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Read both sides, set what is behind, and record it."""
        session = ctx.write_destination
        wanted = self._wanted(ctx)
        with session.transaction():
            count = sequences.write(session, wanted)
            detail = {"set": count, "shift": ctx.config.sequences.shift}
            WritableRegistry(session, ctx.names).record(EVENT, detail)

    def verify(self, ctx: ReadContext) -> Evidence:
        """Prove that it was done: a live source is past its old position again the moment after."""
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        if record is None:
            raise VerifyFailed("the sequences were not set", hint="migrator advance", step=self.name)
        return record

    def undo(self, ctx: WriteContext) -> None:
        """Set every sequence to its start, not called."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        if registry.read(EVENT) is None:
            return
        with session.transaction():
            sequences.write(
                session,
                [sequences.Position(s, s.start, False) for s in catalog_sequences(session)],
            )
            registry.forget(EVENT)

    def _wanted(self, ctx: ReadContext) -> list[sequences.Position]:
        shift = ctx.config.sequences.shift
        return sequences.plan(sequences.read(ctx.source), sequences.read(ctx.destination), shift)
