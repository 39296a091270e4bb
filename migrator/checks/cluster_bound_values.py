"""No column holds what means something to one cluster alone.

Why it matters: transaction ids, snapshots, WAL positions and row addresses are copied as they are. The
destination counts its own from where it stands: what compares a stored one with the present one, as queues
and outboxes do (xid8, pg_current_xact_id, pg_current_wal_lsn), compares two clusters after the cutover.
How to fix: let such rows be used up before the cutover, or give them values of the destination's after it.
When to ignore: the column is a record that nothing is compared with.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA
from migrator.pg.column_types import OF_COLUMNS, PARTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

TYPES = ("xid", "xid8", "cid", "tid", "pg_lsn", "txid_snapshot", "pg_snapshot")
FUNCTIONS = (
    "txid_current",
    "txid_current_snapshot",
    "pg_current_xact_id",
    "pg_current_snapshot",
    "pg_current_wal_lsn",
    "pg_current_wal_insert_lsn",
)
# A default's expression is kept with the functions' object ids. Of the types that could hold what these give.
BOUND = f"""
with recursive {PARTS.format(roots=OF_COLUMNS)},
bound (type) as (
    select p.root
    from part p
    join pg_catalog.pg_type t on t.oid = p.type
    where t.typname = any (%(types)s) and t.typnamespace = 'pg_catalog'::pg_catalog.regnamespace
),
calls (pattern) as (
    select ':funcid (' || string_agg(p.oid::text, '|') || ') '
    from pg_catalog.pg_proc p
    where p.proname = any (%(functions)s) and p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
)
select c.oid::pg_catalog.regclass::text as relation,
       string_agg(
           pg_catalog.format('%%I (%%s)', a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod)),
           ', ' order by a.attnum
       ) as columns
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_attrdef f
  on f.adrelid = a.attrelid
 and f.adnum = a.attnum
 and a.atttypid = any (array['int8', 'numeric', 'text', 'varchar']::pg_catalog.regtype[])
where (a.atttypid in (select type from bound) or f.adbin::text ~ (select pattern from calls))
  and a.attnum > 0
  and not a.attisdropped
  and c.relkind in ('r', 'p')
  and not c.relispartition
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
group by 1
order by 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List such columns, by their type or by their default."""
    for row in ctx.source.rows(BOUND, {"types": list(TYPES), "functions": list(FUNCTIONS)}):
        yield Finding(
            Severity.WARN,
            row.relation,
            f"{row.relation} keeps transaction ids or positions of the source's WAL: {row.columns}; the "
            "destination's are others, and may be lower",
            f"see that nothing compares those of {row.relation} with the present ones after the cutover",
        )
