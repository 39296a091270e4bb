"""Count tables only, as ``copy-diff`` does: what is in the rows is not looked at."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.counts import Counted, count_tables
from migrator.diff.looks import Verdict
from migrator.events import StepProgress
from migrator.pg.catalog import all_tables, label
from migrator.report_diff import TableDifference

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from migrator.context import ReadContext
    from migrator.diff.subject import Options, Subject
    from migrator.pg.session import ReadSession

COUNTED = {Verdict.EQUAL: "equal", Verdict.DIFFERS: "different", Verdict.MOVING: "unresolved"}
UNLIKE = "its partitions are not the same on both sides; its rows can be compared, not counted"


def counted_only(
    ctx: ReadContext,
    subject: Subject,
    options: Options,
    applied: Callable[[ReadSession, int], None],
    halted: Event,
) -> list[TableDifference]:
    """Return the tables' verdicts by their counts; ``applied`` waits for the stream, as for ``copy-diff``."""
    names = {table.name for table in subject.wanted if table.members == ((), ())}
    both = [t for t in all_tables(ctx.source) if (t.schema, t.name) in names]
    counted = count_tables(
        ctx,
        both,
        jobs=options.jobs,
        rounds=options.rounds,
        applied=applied,
        halted=halted,
        progress=lambda done, total, what: ctx.emit(StepProgress("diff", done, total, "tables", what)),
    )
    tables = [_from_count(ctx, subject, found) for found in counted]
    for table in subject.wanted:
        if table.name not in names:
            tables.append(TableDifference(label(*table.name), "not_compared", note=UNLIKE))
    return tables


def _from_count(ctx: ReadContext, subject: Subject, found: Counted) -> TableDifference:
    if found.look is None:
        return TableDifference(found.table.label, "not_compared", note=found.failure)
    rows = {ctx.source.side: found.look.between.rows, ctx.destination.side: found.look.after.rows}
    why = subject.unstreamed.get((found.table.schema, found.table.name), "")
    verdict = COUNTED[found.look.verdict]
    return TableDifference(
        found.table.label,
        "not_streamed" if why and verdict != "equal" else verdict,
        source=rows["source"],
        destination=rows["destination"],
        different=found.look.missing + found.look.surplus,
        more=True,
        note=why,
    )
