"""The part of the journal that is written while data flows: tables, samples, findings."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import delete, insert, update

from migrator.store.database import fetch, reading, upsert, writing
from migrator.store.held import Held, Rows
from migrator.store.models import now, sample, table_copy
from migrator.store.records import SampleRecord, TableRecord
from migrator.store.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import timedelta

    from sqlalchemy import Engine

KEY = ("migration_id", "table_name", "chunk")


class ProgressJournal(Store):
    """How far the copy is, what was measured, what preflight found.

    Table and chunk name a row; writing one that is not there makes it. Numbers are totals so far,
    not increments, so that a repeated write does no harm. After ``hold``, how tables progress is
    written a moment later, at the latest before tables are read or the store is closed.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self._held = Held(self._write)
        self._holding = False

    def hold(self) -> Self:
        """Hold back how tables progress from now on, and return the journal itself."""
        self._holding = True
        return self

    def close(self) -> None:
        """Write what is held back and close."""
        try:
            self.flush()
        finally:
            super().close()

    def flush(self) -> None:
        """Write what is held back."""
        self._held.flush()

    def plan_tables(self, migration_id: int, tables: Sequence[tuple[str, int]]) -> None:
        """Register tables and their estimated bytes; those already there keep their progress."""
        if not tables:
            return
        with writing(self._engine) as connection:
            statement = upsert(connection, table_copy)
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=KEY,
                    set_={"estimated_bytes": statement.excluded.estimated_bytes},
                ),
                [
                    {
                        "migration_id": migration_id,
                        "table_name": name,
                        "chunk": 0,
                        "state": "planned",
                        "estimated_bytes": estimated_bytes,
                    }
                    for name, estimated_bytes in tables
                ],
            )

    def table_started(
        self, migration_id: int, table: str, *, chunk: int = 0, estimated_bytes: int | None = None
    ) -> None:
        """Record that a table or chunk is being copied, from its first row."""
        values: dict[str, Any] = {"rows": 0, "bytes": 0, "error": "", "finished_at": None}
        if estimated_bytes is not None:
            values["estimated_bytes"] = estimated_bytes
        self._put(migration_id, table, chunk, state="copying", started_at=now(), **values)

    def table_progress(self, migration_id: int, table: str, *, chunk: int = 0, rows: int, bytes: int) -> None:
        """Record the rows and bytes sent so far."""
        self._put(migration_id, table, chunk, state="copying", rows=rows, bytes=bytes)

    def table_finished(self, migration_id: int, table: str, *, chunk: int = 0, rows: int, bytes: int) -> None:
        """Record that a table's or chunk's rows are committed on the destination."""
        self._put(
            migration_id,
            table,
            chunk,
            state="done",
            rows=rows,
            bytes=bytes,
            error="",
            finished_at=now(),
        )

    def table_failed(self, migration_id: int, table: str, error: str, *, chunk: int = 0) -> None:
        """Record why a table or chunk could not be copied."""
        self._put(migration_id, table, chunk, state="failed", error=error, finished_at=now())

    def reset_tables(self, migration_id: int, tables: Iterable[str] | None = None) -> None:
        """Make tables planned again, all of them by default; their estimates stay."""
        self.flush()
        where = [table_copy.c.migration_id == migration_id]
        if tables is not None:
            where.append(table_copy.c.table_name.in_(list(tables)))
        with writing(self._engine) as connection:
            connection.execute(delete(table_copy).where(*where, table_copy.c.chunk > 0))
            connection.execute(
                update(table_copy)
                .where(*where)
                .values(state="planned", rows=0, bytes=0, error="", started_at=None, finished_at=None)
            )

    def tables(self, migration_id: int) -> list[TableRecord]:
        """Return every table and chunk, by name."""
        self.flush()
        with reading(self._engine) as connection:
            return fetch(connection, TableRecord, table_copy, table_copy.c.migration_id == migration_id)

    def sample(self, migration_id: int, kind: str, values: dict[str, Any]) -> None:
        """Record one measurement, taken now."""
        with writing(self._engine) as connection:
            connection.execute(insert(sample), {"migration_id": migration_id, "kind": kind, "values": values})

    def prune_samples(self, migration_id: int, older_than: timedelta) -> None:
        """Forget measurements that are older."""
        old = (sample.c.migration_id == migration_id, sample.c.at < now() - older_than)
        with writing(self._engine) as connection:
            connection.execute(delete(sample).where(*old))

    def samples(self, migration_id: int, kind: str, limit: int = 100) -> list[SampleRecord]:
        """Return the newest ``limit`` measurements, oldest first."""
        where = (sample.c.migration_id == migration_id, sample.c.kind == kind)
        with reading(self._engine) as connection:
            return fetch(connection, SampleRecord, sample, *where, newest=limit)

    def _put(self, migration_id: int, table: str, chunk: int, **values: Any) -> None:
        self._held.put((migration_id, table, chunk), values)
        if not self._holding:
            self.flush()

    def _write(self, rows: Rows) -> None:
        alike = defaultdict(list)
        for key, values in rows.items():
            alike[tuple(sorted(values))].append(dict(zip(KEY, key, strict=True), **values))
        with writing(self._engine) as connection:
            for columns, some in alike.items():
                statement = upsert(connection, table_copy)
                changed = {column: statement.excluded[column] for column in columns}
                connection.execute(statement.on_conflict_do_update(index_elements=KEY, set_=changed), some)
