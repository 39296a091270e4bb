"""Copy what belongs to the database as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from migrator.pg.database import Properties, changes, database_properties, known_to, without_late
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from psycopg import sql

    from migrator.context import ReadContext, WriteContext

EVENT = "database_settings"


class CopyDatabaseSettings(Step):
    """Copy what belongs to the database as a whole.

    Changes: owner, comment, grants, connection limit and ``alter database … set`` (with
    ``alter role … in database … set``) of the destination become the source's. Timeouts and preloaded
    libraries, which would act on the stream too, follow when the destination opens.
    Recognised by: the record in the destination's journal, written in the same transaction.
    Locks and cost: none; milliseconds.
    If it fails: nothing is changed; run the same command again.
    Undo: gives the destination back what it had, from the record.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for our record."""
        record = Registry(ctx.destination, ctx.names).read(EVENT)
        return Absent() if record is None else Done({"changes": record["changes"]})

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what changes the destination's database."""
        for statement in self._changes(ctx)[0]:
            yield Statement("destination", statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Change what differs, and keep what was there before."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        before = database_properties(session)
        statements, left_out = self._changes(ctx)
        if left_out:
            ctx.note(f"the destination's version does not know these settings: {', '.join(left_out)}")
        with session.transaction():
            for statement in statements:
                session.run(statement)
            registry.record(EVENT, {"changes": len(statements), "before": msgspec.to_builtins(before)})

    def undo(self, ctx: WriteContext) -> None:
        """Turn everything back to the record."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        record = registry.read(EVENT)
        if record is None:
            return
        before = msgspec.convert(record["before"], Properties)
        with session.transaction():
            now = database_properties(session)
            for statement in changes("database", ctx.destination_server.database, now, before):
                session.run(statement)
            registry.forget(EVENT)

    def _changes(self, ctx: ReadContext) -> tuple[list[sql.Composed], list[str]]:
        now = database_properties(ctx.destination)
        wanted, left_out = known_to(ctx.destination, without_late(database_properties(ctx.source)))
        return list(changes("database", ctx.destination_server.database, now, wanted)), left_out
