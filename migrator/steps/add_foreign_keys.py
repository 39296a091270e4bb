"""Add the foreign keys while the stream goes on, and validate them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.copy.builder import POOL, Builder, build_all
from migrator.copy.scheduler import Task
from migrator.pg.catalog import registries
from migrator.pg.dump import Entry, Part, dump_schema
from migrator.pg.made import drop_made
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import WritableRegistry
from migrator.pg.restore import restore
from migrator.pg.versions import Feature
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import WriteSession

NOT_VALID = " NOT VALID;"

# A foreign key by table and name; one that a partition inherits comes with its parent's.
FOREIGN_KEYS = """
select n.nspname as schema,
       c.relname as table,
       k.conname as name,
       k.convalidated as valid,
       c.relkind = 'p' as on_root,
       k.oid,
       pg_catalog.pg_relation_size(c.oid) as bytes
from pg_catalog.pg_constraint k
join pg_catalog.pg_class c on c.oid = k.conrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where k.contype = 'f'
  and coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0'
order by 1, 2, 3
"""
VALIDATE = "alter table {table} validate constraint {name}"


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
        wanted = {_key(row): row.valid for row in ctx.source.rows(FOREIGN_KEYS)}
        have = {_key(row): row.valid for row in ctx.destination.rows(FOREIGN_KEYS)}
        good = [k for k, valid in wanted.items() if k in have and (have[k] or not valid)]
        if len(good) == len(wanted):
            return Done({"foreign_keys": len(wanted)})
        return Partial(f"{len(good)} of {len(wanted)} foreign keys") if have else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Add what is missing, then validate what is to be valid."""
        others = registries(ctx.source)
        dump = dump_schema(ctx.source_server, ctx.destination_server, ctx.names, "post-data", others)
        rows = ctx.source.rows(FOREIGN_KEYS)
        on_roots = {row.oid for row in rows if row.on_root}
        at_once = ctx.destination_server.has(Feature.NOT_VALID_ON_PARTITIONED)
        restore(
            WritableRegistry(ctx.write_destination, ctx.names),
            self.name,
            dump.preamble,
            dump.part(Part.FOREIGN_KEY, set()),
            sleep=ctx.sleep,
            rewrite=lambda e: e.sql if e.object_oid in on_roots and not at_once else _not_valid(e),
        )
        self._validate(ctx, [row for row in rows if row.valid])

    def undo(self, ctx: WriteContext) -> None:
        """Drop what we added."""
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        if registry.is_ours():
            with ctx.write_destination.bounded(LOCK_TIMEOUT):
                # The stream still goes on: its worker may hold what we want, and want what we hold.
                patiently(partial(drop_made, registry, self.name), ctx.sleep, what=f"undoing {self.name}")

    def _validate(self, ctx: WriteContext, wanted: list[Any]) -> None:
        valid = {_key(row) for row in ctx.destination.rows(FOREIGN_KEYS) if row.valid}
        left = [row for row in wanted if _key(row) not in valid]
        done = len(wanted) - len(left)

        def validate(row: Any, session: WriteSession) -> None:
            statement = sql.SQL(VALIDATE).format(
                table=sql.Identifier(row.schema, row.table), name=sql.Identifier(row.name)
            )
            with session.bounded(LOCK_TIMEOUT):
                patiently(partial(session.run, statement), ctx.sleep, what=f"validating {row.name}")

        async def run(row: Any, worker: Builder) -> None:
            nonlocal done
            await worker.do(partial(validate, row, worker.session))
            done += 1
            ctx.progress(done, len(wanted), "foreign keys")

        tasks: list[Task] = []
        # Two validations of one table would wait for each other.
        last: dict[tuple[str, str], Task] = {}
        for row in left:
            table = (row.schema, row.table)
            needs = [last[table]] if table in last else []
            last[table] = Task(row.name, POOL, row.bytes, partial(run, row), needs)
            tasks.append(last[table])
        build_all(ctx, tasks)


def _key(row: Any) -> tuple[str, str, str]:
    return (row.schema, row.table, row.name)


def _not_valid(entry: Entry) -> str:
    head, _, _ = entry.sql.rpartition(";")
    return entry.sql if head.endswith("NOT VALID") else head + NOT_VALID
