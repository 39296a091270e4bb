"""Publish the tables on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg import publication
from migrator.pg.catalog import published_tables, wanted_tables
from migrator.pg.registry import Ownership
from migrator.step import Absent, Conflict, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

CREATE = "create publication {name} for table {tables}"
MARK = "comment on publication {name} is {mark}"


class CreatePublication(Step):
    """Publish the tables on the source.

    Changes: creates publication ``migrator_…`` with an explicit list: the heartbeat, and every
    permanent table that ``[tables]`` takes in (of a partitioned table, its leaves); nothing that an
    extension owns, no unlogged or temporary table.
    Recognised by: a publication of our name with our mark.
    Locks and cost: ``share update exclusive`` on each table, which readers and writers do not feel.
    If it fails: nothing is there; run the same command again. A table whose UPDATE and DELETE would
    fail once it is published is refused before, with the SQL that fixes it.
    Undo: drops the publication.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the publication and its mark."""
        match publication.ownership(ctx.source, ctx.names):
            case Ownership.ABSENT:
                return Absent()
            case Ownership.FOREIGN:
                return Conflict(
                    f"the source has a publication {ctx.names.publication} without our mark",
                    "rename or drop it, or give the migration another name",
                )
            case Ownership.OURS:
                return Done({"tables": len(published_tables(ctx.source, ctx.names, sizes=False))})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create and mark the publication in one transaction."""
        tables = wanted_tables(ctx.source, ctx.config.tables)
        publication.refuse_unidentified(tables)
        name = sql.Identifier(ctx.names.publication)
        listed = [sql.Identifier(ctx.names.schema, "heartbeat"), *(t.identifier for t in tables)]
        session = ctx.write_source
        with session.bounded(ctx.config.copy.lock_timeout), session.transaction():
            session.run(
                sql.SQL(CREATE).format(
                    name=name,
                    tables=sql.SQL(", ").join(sql.SQL("only {}").format(t) for t in listed),
                )
            )
            session.run(sql.SQL(MARK).format(name=name, mark=ctx.names.mark))

    def undo(self, ctx: WriteContext) -> None:
        """Drop the publication if it is ours."""
        publication.drop(ctx.write_source, ctx.names)
