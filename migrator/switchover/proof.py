"""The proof that both sides were equal when the writes changed hands, made while the application goes on.

The snapshots are taken inside the fence. The comparison comes last in the same process, and with that the
snapshots go: a proof that is cut short is not made, and cannot be made later. Nothing fails for it. The
journal of the side that serves since says what was found.

Rows that a comparison before the fence could not decide, because they were written to all the while, are
settled here: nobody writes between the two snapshots.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.copy import unlogged
from migrator.diff.compare import compare
from migrator.errors import ConnectionLost, MigratorError
from migrator.pg.catalog import published_tables
from migrator.pg.registry import Registry, WritableRegistry
from migrator.report_diff import ProvenRows, TableDifference
from migrator.switchover.records import handed_over

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.diff.compare import Comparison

PROOF = "proof"
MADE = """
select detail, extract(epoch from clock_timestamp() - at)::float8 as age
from {schema}.journal
where event = 'proof'
"""
EQUAL, DIFFERENT, NOT_MADE = "equal", "different", "not made"
TOO_LATE = "the command that held the snapshots ended before the comparison did"
SHOWN = 20


def prepare(ctx: WriteContext) -> None:
    """Open the sessions that will hold the snapshots, where ``[cutover] prove`` asks for them."""
    if ctx.config.cutover.prove:
        ctx.snapshots.connect(ctx)


def prove(ctx: WriteContext) -> None:
    """Compare all rows as they were in the fence, and record the verdict where the writes are now.

    The store is told, too: of each table, and of rows that were left undecided before.
    """
    given = handed_over(ctx) or {}
    made = None
    try:
        made = _made(ctx)
        found = _verdict(made) if made else _not_made(ctx.snapshots.failure or TOO_LATE)
    except MigratorError as error:
        found = _not_made(error.message)
        if isinstance(error, ConnectionLost) and not ctx.write_destination.is_open:
            raise
    finally:
        position = ctx.snapshots.lsn
        ctx.snapshots.release()
    record = {"number": given["number"], "lsn": position, **found}
    WritableRegistry(ctx.write_destination, ctx.names).record(PROOF, record)
    if made:
        ctx.proven(_proven(made))
    ctx.note(told(record))


def proof(ctx: ReadContext) -> dict[str, Any] | None:
    """Return the record of the proof of the writes having left the source, or None; with its age."""
    given = handed_over(ctx)
    rows = Registry(ctx.destination, ctx.names).rows(MADE) if given else []
    if not rows or not given or rows[0].detail["number"] != given["number"]:
        return None
    return {**rows[0].detail, "age_seconds": rows[0].age}


def told(record: dict[str, Any]) -> str:
    """Return a verdict for people, in one line."""
    if record["verdict"] == NOT_MADE:
        return f"not made: {record['why']}"
    beside = "".join(f"; not compared: {line}" for line in record["not_compared"])
    if record["verdict"] == EQUAL:
        return f"equal at LSN {record['lsn']}, {record['tables']} tables, {record['rows']:,} rows{beside}"
    return f"different at LSN {record['lsn']}: {'; '.join(record['differences'])}{beside}"


def _made(ctx: WriteContext) -> Comparison | None:
    if not ctx.snapshots.lsn:
        return None
    tables = [*published_tables(ctx.source, ctx.names, sizes=False), *unlogged.wanted(ctx)]
    return compare(
        ctx,
        [(t.schema, t.name) for t in tables],
        jobs=ctx.config.copy.jobs,
        moving={label: table.moving for label, table in ctx.compared().items() if table.moving},
        progress=lambda done, total, table: ctx.progress(done, total, "tables", table),
    )


def _proven(found: Comparison) -> ProvenRows:
    return ProvenRows(
        found.how,
        tuple(
            TableDifference(
                result.table,
                "not_compared" if result.not_compared else DIFFERENT if result.differences else EQUAL,
                note=result.not_compared or ", ".join(result.differences),
            )
            for result in found.results
        ),
        equal=sum(result.settled[0] for result in found.results),
        different=sum(result.settled[1] for result in found.results),
    )


def _not_made(why: str) -> dict[str, Any]:
    return {"verdict": NOT_MADE, "why": why}


def _verdict(found: Comparison) -> dict[str, Any]:
    return {
        "verdict": DIFFERENT if found.different else EQUAL,
        "tables": len(found.equal),
        "rows": found.rows,
        "differences": [f"{r.table}: {', '.join(r.differences)}" for r in found.different][:SHOWN],
        "not_compared": [f"{r.table} ({r.not_compared})" for r in found.not_compared][:SHOWN],
    }
