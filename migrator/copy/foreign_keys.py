"""The adding and validating of foreign keys as tasks, as soon as both tables are ready.

A key is added ``not valid``, which takes its lock on both tables for an instant, and validated then,
which lets the application's and the stream's writes go on. Keys are added one at a time: two that want
each other's tables would wait for each other.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy.builder import POOL, Builder
from migrator.copy.scheduler import Name, Ready, Task
from migrator.errors import StatementFailed
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from migrator.context import ReadContext, WriteContext
    from migrator.copy.scheduler import Pool
    from migrator.pg.catalog import Table
    from migrator.pg.dump import Entry, SchemaDump
    from migrator.pg.session import ReadSession, WriteSession

# Whose work this is, and whose undo takes it away.
STEP = "add_foreign_keys"
ADDING = "add foreign keys"
NOT_VALID = " NOT VALID;"
VIOLATED = "23503"

# A foreign key by table and name; one that a partition inherits comes with its parent's.
FOREIGN_KEYS = """
select k.oid,
       n.nspname as schema,
       c.relname as table,
       k.conname as name,
       k.convalidated as valid,
       c.relkind = 'p' as on_root,
       fn.nspname as referenced_schema,
       f.relname as referenced_table,
       pg_catalog.pg_relation_size(c.oid) + pg_catalog.pg_relation_size(f.oid) as bytes
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class f on f.oid = k.confrelid
join pg_catalog.pg_namespace fn on fn.oid = f.relnamespace
where k.contype = 'f'
  and coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0'
order by 2, 3, 4
"""
VALIDATE = "alter table {table} validate constraint {name}"


@dataclass(frozen=True)
class ForeignKey:
    """One foreign key. ``bytes`` is the size of both its tables, which its validation reads."""

    oid: int
    schema: str
    table: str
    name: str
    valid: bool
    on_root: bool
    referenced_schema: str
    referenced_table: str
    bytes: int

    @property
    def key(self) -> tuple[str, str, str]:
        """Return what it is found by on both sides."""
        return (self.schema, self.table, self.name)

    @property
    def tables(self) -> tuple[Name, Name]:
        """Return the table that refers and the table referred to."""
        return (self.schema, self.table), (self.referenced_schema, self.referenced_table)


def foreign_keys(session: ReadSession) -> list[ForeignKey]:
    """Return all foreign keys of a side, but for those that partitions inherit."""
    return [ForeignKey(**row._asdict()) for row in session.rows(FOREIGN_KEYS)]


def between(ctx: ReadContext, tables: dict[Name, Table], entries: list[Entry]) -> dict[ForeignKey, Entry]:
    """Return those of ``entries`` that are keys between ``tables``, with what the source says of them.

    A partitioned table's are not among them: its rows are in when those of its partitions are.
    """
    by_oid = {entry.object_oid: entry for entry in entries}
    return {
        key: by_oid[key.oid]
        for key in foreign_keys(ctx.source)
        if key.oid in by_oid and tables.keys() >= set(key.tables)
    }


def adders(builders: Pool) -> Pool:
    """Return the pool, of one, that adds keys; it shares the memory of ``builders``."""
    return replace(builders, size=1)


def tasks(
    ctx: WriteContext,
    dump: SchemaDump,
    wanted: Mapping[ForeignKey, Entry | None],
    ready: Ready,
    tell: Callable[[str], None],
    *,
    leave_violated: bool = False,
) -> list[Task]:
    """Return the work of adding keys and validating those that are to be valid.

    A key comes with its entry of the dump, or with None when it is on the destination and only not valid
    yet. With ``leave_violated`` a key that rows violate stays as it is, for the step of that name.
    """
    at_once = ctx.destination_server.has(Feature.NOT_VALID_ON_PARTITIONED)

    def whole(key: ForeignKey) -> bool:
        return key.on_root and not at_once

    async def add(key: ForeignKey, entry: Entry, worker: Builder) -> None:
        rewrite = _unchanged if whole(key) else _not_valid
        await worker.do(partial(worker.restore, STEP, dump.preamble, [entry], rewrite))

    async def validate(key: ForeignKey, worker: Builder) -> None:
        try:
            await worker.do(lambda: _validate(ctx, key, worker.session), memory=key.bytes)
        except StatementFailed as error:
            if not leave_violated or error.sqlstate != VIOLATED:
                raise
            ctx.note(f"{error.message}; it is validated again when the stream goes on")
        tell(key.name)

    adding = {
        key: Task(f"add {key.name}", ADDING, 0, partial(add, key, entry), ready.when(key.tables))
        for key, entry in wanted.items()
        if entry is not None
    }
    # Adding waits for a validation of either table, however long that takes: it comes first.
    for key, task in adding.items():
        ready.after(key.tables, task)
    validating: list[Task] = []
    for key in wanted:
        if key.valid and not (key in adding and whole(key)):
            referring = key.tables[:1]
            needs = ready.when(referring)
            validating.append(Task(f"validate {key.name}", POOL, key.bytes, partial(validate, key), needs))
            # Two validations of one table would wait for each other.
            ready.after(referring, validating[-1])
    return [*adding.values(), *validating]


def _validate(ctx: WriteContext, key: ForeignKey, session: WriteSession) -> None:
    statement = sql.SQL(VALIDATE).format(
        table=sql.Identifier(key.schema, key.table), name=sql.Identifier(key.name)
    )
    with session.bounded(LOCK_TIMEOUT):
        patiently(partial(session.run, statement), ctx.sleep, what=f"validating {key.name}")


def _unchanged(entry: Entry) -> str:
    return entry.sql


def _not_valid(entry: Entry) -> str:
    head, _, _ = entry.sql.rpartition(";")
    return entry.sql if head.endswith("NOT VALID") else head + NOT_VALID
