"""Restore the part of the schema that must exist before the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from migrator.errors import VerifyFailed
from migrator.pg import made
from migrator.pg.builtin_grants import Builtin, changed_grants, give_back
from migrator.pg.catalog import all_tables, registries
from migrator.pg.catalog_sequences import sequences
from migrator.pg.database import Properties, changes, public_schema_properties
from migrator.pg.dump import SchemaDump, dump_schema
from migrator.pg.registry import Registry, WritableRegistry
from migrator.step import Absent, Conflict, Done, Evidence, Found, Partial, Statement, Step
from migrator.switchover import drift

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

EVENT = "pre_data"


class RestorePreData(Step):
    """Restore the part of the schema that must exist before the data.

    Changes: schemas, extensions, types, functions, tables, sequences, views on the destination, with
    owners, grants and comments, as ``pg_dump --section=pre-data`` writes them.
    Recognised by: the record in the destination's journal, written in the same transaction.
    Locks and cost: ``access share`` locks on the source's tables while pg_dump reads the catalogs;
    one transaction on the destination, which holds a lock per table.
    If it fails: nothing is there; run the same command again. A destination that already holds user
    objects is refused and not touched.
    Undo: drops what this step made; refused while there are objects that we did not make.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for our record, and for anything that is not ours."""
        registry = Registry(ctx.destination, ctx.names)
        record = registry.read(EVENT)
        if record is not None:
            return Done({"objects": record["objects"]})
        strangers = made.user_objects(registry)
        if strangers:
            names = ", ".join(f"{kind} {identity}" for kind, identity in strangers[:5])
            return Conflict(
                f"the destination already holds objects that migrator did not make: {names}",
                "move or drop them, or name another, empty database as the destination",
            )
        return Absent()

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what pg_dump writes."""
        yield Statement("destination", self._dump(ctx).script)

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Dump the source, and restore and record all of it in one transaction."""
        drift.record(ctx.write_source, ctx.names)
        dump = self._dump(ctx)
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        ctx.progress(0, len(dump.entries), "objects")
        with session.transaction():
            before = made.standing(registry)
            public = public_schema_properties(session)
            builtin = changed_grants(session)
            session.script(dump.script)
            made.record_standing(registry, self.name, before)
            detail = {
                "objects": len(dump.entries),
                "public": msgspec.to_builtins(public),
                "builtin_grants": msgspec.to_builtins(builtin),
            }
            registry.record(EVENT, detail)
        ctx.progress(len(dump.entries), len(dump.entries), "objects")

    def verify(self, ctx: ReadContext) -> Evidence:
        """Count again: every table and sequence of the source is on the destination."""
        evidence = super().verify(ctx)
        missing = {t.label for t in all_tables(ctx.source)} - {t.label for t in all_tables(ctx.destination)}
        missing |= {s.label for s in sequences(ctx.source)} - {s.label for s in sequences(ctx.destination)}
        if missing:
            raise VerifyFailed(
                "the source has relations that were not restored (made meanwhile?): "
                + ", ".join(sorted(missing)[:10]),
                hint="migrator rollback-to planned, then migrator advance",
                missing=sorted(missing),
            )
        return evidence

    def undo(self, ctx: WriteContext) -> None:
        """Drop what we made, and give back what was there before as it was."""
        session = ctx.write_destination
        registry = WritableRegistry(session, ctx.names)
        record = registry.read(EVENT)
        if record is None:
            return
        made.refuse_strangers(registry, "undoing the schema")
        with session.transaction():
            made.drop_made(registry, self.name)
            registry.forget(EVENT)
            now = public_schema_properties(session)
            if record["public"] is not None and now is not None:
                before = msgspec.convert(record["public"], Properties)
                for statement in changes("schema", "public", now, before):
                    session.run(statement)
            had = msgspec.convert(record["builtin_grants"], tuple[Builtin, ...])
            for statement in give_back(changed_grants(session), had):
                session.run(statement)

    def _dump(self, ctx: ReadContext) -> SchemaDump:
        others = registries(ctx.source)
        return dump_schema(ctx.source_server, ctx.destination_server, ctx.names, "pre-data", others)
