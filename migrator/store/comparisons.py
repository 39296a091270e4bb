"""The part of the journal about comparisons of rows: the units that are done, and what they came to."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, delete, insert, select, update

from migrator.report_diff import COUNT, DIFFERENT, UNDECIDED, ComparedTable, verdict_of
from migrator.store.database import fetch, reading, upsert, writing
from migrator.store.models import attempt, compared_table, comparison, comparison_unit, now
from migrator.store.records import ComparisonRecord, Scope, UnitRecord
from migrator.store.store import Store
from migrator.workflow import State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime, timedelta

    from migrator.report_diff import DataDiffReport, ProvenRows, TableDifference

KEY = ("comparison_id", "table_name", "number")
OF_TABLE = ("comparison_id", "verdict", "how", "different", "moving", "at")


class ComparisonJournal(Store):
    """What comparisons found; units are kept of the newest one only that looked into rows."""

    def begin_comparison(
        self, migration_id: int, scope: Scope, *, anew: bool = False, within: timedelta | None = None
    ) -> ComparisonRecord:
        """Return the newest comparison where it is of the same and did not end, or else a new one.

        One that only counts is always new, and leaves the others what they have found; one that was begun
        longer ago than ``within`` does not go on.
        """
        mine = comparison.c.migration_id == migration_id
        with writing(self._engine) as connection:
            if scope.how != COUNT:
                by_rows = [mine, comparison.c.how != COUNT]
                if within is not None:
                    by_rows.append(comparison.c.started_at > now() - within)
                last = fetch(connection, ComparisonRecord, comparison, *by_rows, newest=1)
                if not anew and last and last[0].subject == scope.subject and last[0].finished_at is None:
                    return last[0]
                old = select(comparison.c.id).where(mine)
                connection.execute(delete(comparison_unit).where(comparison_unit.c.comparison_id.in_(old)))
            values = {"migration_id": migration_id, "subject": scope.subject, "verdict": "", "lsn": ""}
            connection.execute(insert(comparison), {**values, **vars(scope)})
            return fetch(connection, ComparisonRecord, comparison, mine, newest=1)[0]

    def put_units(self, comparison_id: int, units: Iterable[UnitRecord]) -> None:
        """Write down units that are done; one that is there gets what is new."""
        rows: list[dict[str, Any]] = [{"comparison_id": comparison_id, **vars(unit)} for unit in units]
        if not rows:
            return
        with writing(self._engine) as connection:
            statement = upsert(connection, comparison_unit)
            changed = {name: statement.excluded[name] for name in ("definition", "bounds", "outcome")}
            connection.execute(statement.on_conflict_do_update(index_elements=KEY, set_=changed), rows)

    def units(self, comparison_id: int) -> list[UnitRecord]:
        """Return the units that are done."""
        with reading(self._engine) as connection:
            where = comparison_unit.c.comparison_id == comparison_id
            return fetch(connection, UnitRecord, comparison_unit, where)

    def end_comparison(self, migration_id: int, comparison_id: int, report: DataDiffReport) -> None:
        """Write down what a comparison came to, as a whole and of each of its tables.

        What rows have said of a table is not taken back by a count, unless that finds a difference.
        """
        moment = now()
        counts = {
            **Counter(table.verdict for table in report.tables),
            "rows_different": sum(table.different for table in report.tables),
            "rows_more": int(any(table.more for table in report.tables if table.different)),
            "rows_moving": sum(table.unresolved for table in report.tables),
        }
        with writing(self._engine) as connection:
            connection.execute(
                update(comparison)
                .where(comparison.c.id == comparison_id)
                .values(verdict=report.verdict, lsn=report.lsn, counts=counts, finished_at=moment)
            )
            known = _tables(connection, migration_id, None) if report.how == COUNT else {}
            tables = [
                table
                for table in report.tables
                if table.verdict in DIFFERENT or table.table not in known or known[table.table].how == COUNT
            ]
            _put_tables(connection, migration_id, comparison_id, report.how, tables)

    def prove(self, migration_id: int, proof: ProvenRows) -> None:
        """Write down what a switchover's proof said of all tables: it decides what the last comparison left.

        That one gets another verdict where it decides everything, and how many of its rows were what.
        """
        with writing(self._engine) as connection:
            mine = (comparison.c.migration_id == migration_id, comparison.c.finished_at.is_not(None))
            last = fetch(connection, ComparisonRecord, comparison, *mine, newest=1)
            if last:
                _decide(connection, last[0], proof)
            _put_tables(connection, migration_id, None, proof.how, proof.tables)

    def last_comparison(self, migration_id: int, *, finished: bool = True) -> ComparisonRecord | None:
        """Return the newest comparison since the stream began: one that ended, or any."""
        with reading(self._engine) as connection:
            where = [comparison.c.migration_id == migration_id]
            where += [comparison.c.finished_at.is_not(None)] if finished else []
            found = fetch(connection, ComparisonRecord, comparison, *where, newest=1)
            began = _stream_began(connection, migration_id)
        if not found or (began and (found[0].finished_at or found[0].started_at) < began):
            return None
        return found[0]

    def compared(self, migration_id: int) -> dict[str, ComparedTable]:
        """Return what the newest comparison since the stream began said of each table, by label."""
        with reading(self._engine) as connection:
            return _tables(connection, migration_id, _stream_began(connection, migration_id))


def _decide(connection: Connection, last: ComparisonRecord, proof: ProvenRows) -> None:
    left = select(compared_table.c.table_name).where(
        compared_table.c.comparison_id == last.id, compared_table.c.verdict.in_(UNDECIDED)
    )
    names = set(connection.execute(left).scalars())
    decided = tuple(table for table in proof.tables if table.table in names)
    if names:
        settled = {"settled_equal": proof.equal, "settled_different": proof.different}
        whole = last.verdict == "undecided" and len(decided) == len(names)
        values = {"verdict": verdict_of(decided) if whole else last.verdict, "counts": last.counts | settled}
        connection.execute(update(comparison).where(comparison.c.id == last.id).values(**values))


def _put_tables(
    connection: Connection,
    migration_id: int,
    comparison_id: int | None,
    how: str,
    tables: Iterable[TableDifference],
) -> None:
    rows = [
        {
            "migration_id": migration_id,
            "table_name": table.table,
            "comparison_id": comparison_id,
            "verdict": table.verdict,
            "how": how,
            "different": table.different,
            "moving": list(table.moving),
            "at": now(),
        }
        for table in tables
    ]
    if rows:
        statement = upsert(connection, compared_table)
        changed = {name: statement.excluded[name] for name in OF_TABLE}
        key = ("migration_id", "table_name")
        connection.execute(statement.on_conflict_do_update(index_elements=key, set_=changed), rows)


def _tables(connection: Connection, migration_id: int, since: datetime | None) -> dict[str, ComparedTable]:
    where = [compared_table.c.migration_id == migration_id]
    where += [compared_table.c.at >= since] if since else []
    return {
        table.table_name: replace(table, moving=tuple(tuple(row) for row in table.moving))
        for table in fetch(connection, ComparedTable, compared_table, *where)
    }


def _stream_began(connection: Connection, migration_id: int) -> datetime | None:
    """Return when all rows had been copied last: what was compared before that is of other rows."""
    moved = (
        attempt.c.migration_id == migration_id,
        attempt.c.kind == "state",
        attempt.c.step == State.REPLICATING.value,
        attempt.c.transition == "replicate",
    )
    found: datetime | None = connection.execute(
        select(attempt.c.finished_at).where(*moved).order_by(attempt.c.id.desc()).limit(1)
    ).scalar()
    return found
