"""No trigger or rule of the source fires for replicated changes.

Why it matters: on the destination a trigger with ENABLE ALWAYS or ENABLE REPLICA fires again for every
change that the stream applies, so its effects come twice.
How to fix: alter table … enable trigger … (the plain form) where the trigger is only for the
application; this version cannot hold such triggers back until the cutover.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "replicate")

FIND = (
    """
select 'trigger' as kind,
       pg_catalog.quote_ident(t.tgname) as name,
       c.oid::pg_catalog.regclass::text as relation
from pg_catalog.pg_trigger t
join pg_catalog.pg_class c on c.oid = t.tgrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace f on f.oid = p.pronamespace
where not t.tgisinternal
  and t.tgenabled in ('A', 'R')
  -- The fences of migrations let replicated changes through.
  and coalesce(pg_catalog.obj_description(f.oid, 'pg_namespace'), '') !~ '^migrator:'
  and """
    + USER_SCHEMA
    + """
union all
select 'rule', pg_catalog.quote_ident(r.rulename), c.oid::pg_catalog.regclass::text
from pg_catalog.pg_rewrite r
join pg_catalog.pg_class c on c.oid = r.ev_class
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where r.ev_enabled in ('A', 'R') and """
    + USER_SCHEMA
    + " order by 1, 3, 2"
)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List them."""
    for row in ctx.source.rows(FIND):
        yield Finding(
            Severity.BLOCK,
            f"{row.relation}.{row.name}",
            f"{row.kind} {row.name} on {row.relation} also fires for replicated changes",
            f"alter table {row.relation} enable {row.kind} {row.name};",
            "source",
        )
