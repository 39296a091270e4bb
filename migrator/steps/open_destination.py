"""Let the destination take the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.step import Absent, Done, Found, Partial, Statement, Step
from migrator.switchover import opening
from migrator.switchover.records import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext


class OpenDestination(Step):
    """Let the destination take the writes.

    Changes: stops the forward streams when they have brought the cutover's tokens; the destination's fence
    lets everything through from now on, its read-only default is reset, and the settings that were held
    back (timeouts, preloaded libraries) become the source's.
    Recognised by: the record in the destination's journal, written in the same transaction.
    Locks and cost: no table's lock, so nobody can be in the way; milliseconds.
    If it fails: the source stays fenced and the destination closed; run the same command again.
    Undo: not from here.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the record."""
        record = opened(ctx)
        return Absent() if record is None else Done(record)

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what lets writers in."""
        for statement in opening.opening(ctx, opening.all_settings(ctx)):
            yield Statement("destination", statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Open everything in one transaction."""
        opening.open_destination(ctx, opening.all_settings(ctx))
