"""Fill the materialized views that are filled on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.registry import Registry
from migrator.step import Absent, Done, Found, Partial, Step

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

# A view that another one reads comes first: its depth is the longest way down from it. Views that read
# each other, which nobody can query and PostgreSQL lets stand, have no end of ways: none is longer than
# there are views.
VIEWS = """
with recursive reads (view, base) as (
    select distinct r.ev_class, d.refobjid
    from pg_catalog.pg_rewrite r
    join pg_catalog.pg_depend d
      on d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
     and d.objid = r.oid
     and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
     and d.refobjid <> r.ev_class
    where r.rulename = '_RETURN'
),
chain (view, base, depth) as (
    select view, base, 1 from reads
    union
    select c.view, r.base, c.depth + 1
    from chain c
    join reads r on r.view = c.base
    where c.depth < (select count(distinct view) from reads)
)
select n.nspname as schema,
       c.relname as name,
       c.relispopulated as populated,
       coalesce((select max(depth) from chain where chain.view = c.oid), 0) as depth
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'm'
  and not exists (
      select
      from pg_catalog.pg_depend e
      where e.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
        and e.objid = c.oid
        and e.deptype = 'e'
  )
order by depth, 1, 2
"""
# A view's query may call functions that find their tables by the usual path.
SEARCH_PATH = 'set local search_path = "$user", public'
# Its owner may be under row level security, and sees then what it sees on the source.
ROW_SECURITY = "set local row_security = on"
REFRESH = "refresh materialized view {view}"
EMPTY = "refresh materialized view {view} with no data"


class RefreshMaterializedViews(Step):
    """Fill the materialized views that are filled on the source.

    Changes: ``refresh materialized view`` on the destination, views that others read first.
    Recognised by: every view that is populated on the source is populated on the destination.
    Locks and cost: nothing on the source; as much as each view's query costs on the destination.
    If it fails: each view is committed by itself; the next run fills the rest. The content is that of
    the destination's tables at the time; refresh again after the cutover where that matters.
    Undo: empties the views.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Compare which views are populated."""
        wanted = {(r.schema, r.name) for r in ctx.source.rows(VIEWS) if r.populated}
        have = {(r.schema, r.name) for r in ctx.destination.rows(VIEWS) if r.populated}
        if wanted <= have and Registry(ctx.destination, ctx.names).read("post_data") is not None:
            return Done({"views": len(wanted)})
        return Partial(f"{len(wanted & have)} of {len(wanted)} views") if have else Absent()

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Refresh what is not populated, in the order in which the views read each other."""
        wanted = [r for r in ctx.source.rows(VIEWS) if r.populated]
        have = {(r.schema, r.name) for r in ctx.destination.rows(VIEWS) if r.populated}
        for number, row in enumerate(wanted, 1):
            if (row.schema, row.name) not in have:
                self._refresh(ctx, REFRESH, row.schema, row.name)
            ctx.progress(number, len(wanted), "views")

    def undo(self, ctx: WriteContext) -> None:
        """Empty the views again; those that read others first."""
        for row in reversed(ctx.destination.rows(VIEWS)):
            if row.populated:
                self._refresh(ctx, EMPTY, row.schema, row.name)

    def _refresh(self, ctx: WriteContext, statement: str, schema: str, name: str) -> None:
        with ctx.write_destination.transaction():
            ctx.write_destination.execute(SEARCH_PATH)
            ctx.write_destination.execute(ROW_SECURITY)
            ctx.write_destination.run(sql.SQL(statement).format(view=sql.Identifier(schema, name)))
