"""Restore what is left of the schema: triggers, rules, policies, statistics objects and their kin."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.copy import post_data
from migrator.pg.catalog import all_tables, indexes_of_views, registries
from migrator.pg.dump import Part
from migrator.pg.made import drop_made
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.restore import restore
from migrator.step import Absent, Done, Found, Partial, Statement, Step

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

EVENT = "post_data"
RESTORED = "select count(*) as entries from {schema}.restored where step = %s"
PROTECTED = "select oid from pg_catalog.pg_class where relrowsecurity and oid = any (%s)"
UNPROTECT = "alter table {table} disable row level security"

# Views that need a primary key (group by its columns): pre-data holds them as empty shells, post-data
# their queries. They become shells again, so that they outlive their keys with all that hangs on them.
SHELLS = """
select c.oid::pg_catalog.regclass::text as view,
       string_agg(
           pg_catalog.format('null::%%s', pg_catalog.format_type(a.atttypid, a.atttypmod))
           || coalesce(
                  ' collate ' || pg_catalog.quote_ident(cn.nspname)
                  || '.' || pg_catalog.quote_ident(co.collname),
                  '')
           || pg_catalog.format(' as %%I', a.attname),
           ', ' order by a.attnum
       ) as columns
from {schema}.made m
join pg_catalog.pg_class c on m.class = 'pg_catalog.pg_class'::pg_catalog.regclass and c.oid = m.object
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
left join pg_catalog.pg_collation co on co.oid = a.attcollation and co.oid <> t.typcollation
left join pg_catalog.pg_namespace cn on cn.oid = co.collnamespace
where c.relkind = 'v'
  and m.step <> %s
  and exists (
      select
      from pg_catalog.pg_rewrite r
      join pg_catalog.pg_depend d
        on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass and d.objid = r.oid
      where r.ev_class = c.oid
        and d.refclassid = 'pg_catalog.pg_constraint'::pg_catalog.regclass
  )
group by c.oid
"""
SHELL = "create or replace view {view} as select {columns}"


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

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell what is left of pg_dump's post-data."""
        yield from (Statement("destination", text) for text in post_data.definitions(ctx, Part.REST))

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Restore entry by entry."""
        others = registries(ctx.source)
        dump = post_data.dump(ctx)
        rest = dump.part(Part.REST, indexes_of_views(ctx.source))
        # The fences of other migrations of this source stand on its tables, not in their schemas.
        fences = tuple(f" {schema}.refuse_write(" for schema in others)
        entries = [e for e in rest if e.kind != "TRIGGER" or not any(f in e.sql for f in fences)]
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

        def drop() -> None:
            with session.bounded(LOCK_TIMEOUT), session.transaction():
                for row in registry.rows(SHELLS, [self.name]):
                    session.run(SHELL.format(view=row.view, columns=row.columns))
                drop_made(registry, self.name)
                for row in session.rows(PROTECTED, [list(tables)]):
                    session.run(sql.SQL(UNPROTECT).format(table=tables[row.oid].identifier))
                registry.forget(EVENT)

        # The stream still goes on: its worker may hold what we want, and want what we hold.
        patiently(drop, ctx.sleep, what=f"undoing {self.name}")
