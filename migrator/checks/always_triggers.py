"""No trigger fires for replicated changes.

Why it matters: a trigger with ENABLE ALWAYS or ENABLE REPLICA fires again for every change that the stream
applies, so its effects come twice: on the destination until the cutover, on the source after it, for what
streams back. Rules, and statement triggers other than those of TRUNCATE, do not: the stream's worker works
row by row and without queries.
How to fix: alter table … enable trigger … (the plain form) where the trigger is only for the
application; this version cannot hold such triggers back until the cutover.
When to ignore: the trigger looks at the replicated row alone, and doing it twice changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "replicate", "sync_sequences", "cut_over")

# A trigger's type says when it fires: 1 for each row, 32 on truncate. What is unlogged is copied again.
# Up to 14 the clones that partitions have of their root's triggers are internal, as are those of
# constraints, which belong to one.
FIND = f"""
select pg_catalog.quote_ident(t.tgname) as name, c.oid::pg_catalog.regclass::text as relation
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace f on f.oid = p.pronamespace
where (not t.tgisinternal or t.tgconstraint = 0)
  and t.tgenabled in ('A', 'R')
  and c.relkind in ('r', 'p')
  and (t.tgtype & 33 <> 0 or c.relpersistence = 'u')
  -- The fences of migrations let replicated changes through.
  and coalesce(pg_catalog.obj_description(f.oid, 'pg_namespace'), '') !~ '^migrator:'
  and {USER_SCHEMA}
order by 2, 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List them, on both sides."""
    for session in (ctx.source, ctx.destination):
        for row in session.rows(FIND):
            yield Finding(
                Severity.BLOCK,
                f"{row.relation}.{row.name}",
                f"trigger {row.name} on {row.relation} of the {session.side} also fires for replicated "
                "changes",
                f"alter table {row.relation} enable trigger {row.name};",
                session.side,
            )
