"""Restore what is left of the schema: triggers, rules, policies, statistics objects and their kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.catalog import all_tables, indexes_of_views
from migrator.pg.dump import Part, dump_schema
from migrator.pg.made import drop_made
from migrator.pg.patience import LOCK_TIMEOUT
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.restore import restore
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

EVENT = "post_data"
RESTORED = "select count(*) as entries from {schema}.restored where step = %s"
PROTECTED = "select oid from pg_catalog.pg_class where relrowsecurity and oid = any (%s)"
UNPROTECT = "alter table {table} disable row level security"


class RestorePostData(Step):
    """Restore what is left of the schema: triggers, rules, policies, statistics objects and their kin.

    Changes: everything of ``pg_dump --section=post-data`` that is neither an index nor a foreign key,
    on the destination, in pg_dump's order; row level security and event triggers come last.
    Recognised by: the record in the destination's journal, written when all entries are in.
    Locks and cost: nothing on the source; on the destination ``share row exclusive`` for an instant
    per trigger, given up and tried again when the stream's worker is in the way.
    If it fails: each entry is committed by itself with its record; the next run restores the rest.
    Undo: drops what this step made.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the final record, then for single ones."""
        registry = Registry(ctx.destination, ctx.names)
        record = registry.read(EVENT)
        if record is not None:
            return Done(record)
        rows = registry.rows(RESTORED, [self.name])
        entries = rows[0].entries if rows else 0
        return Partial(f"{entries} entries") if entries else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Restore entry by entry."""
        dump = dump_schema(ctx.source_server, ctx.destination_server, ctx.names, "post-data")
        entries = dump.part(Part.REST, indexes_of_views(ctx.source))
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        restore(
            registry,
            self.name,
            dump.preamble,
            entries,
            sleep=ctx.sleep,
            done=lambda number, entry: ctx.progress(number, len(entries), "objects", entry.title),
        )
        registry.record(EVENT, {"entries": len(entries)})

    def undo(self, ctx: WriteContext) -> None:
        """Drop what we restored, and lift row level security from our tables."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        if isinstance(self.probe(ctx), Absent):
            return
        tables = {t.oid: t for t in all_tables(ctx.destination)}
        with session.bounded(LOCK_TIMEOUT), session.transaction():
            drop_made(registry, self.name)
            for row in session.rows(PROTECTED, [list(tables)]):
                session.run(sql.SQL(UNPROTECT).format(table=tables[row.oid].identifier))
            registry.forget(EVENT)
