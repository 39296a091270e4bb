"""Every sequence has room for the shift.

Why it matters: in the cutover the destination's sequences are set past the source's by [sequences] shift, so
that values which are taken on the source meanwhile come to no harm. A sequence that counts further than the
column that it feeds (serial columns of old versions: bigint sequences of integer columns) would be set past
what the column can hold, and every insert would fail. Of one that is near its own end only half of what is
left is used.
How to fix: alter sequence … maxvalue to what the column holds; make the column bigint; or choose a smaller
[sequences] shift.
When to ignore: a warning of a sequence that is never going to be used up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, label
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "sync_sequences", "cut_over")

# The columns that a sequence feeds: its owner's, and those that take their default from it.
FED = """
select d.objid as sequence, d.refobjid as relation, d.refobjsubid as attnum
from pg_catalog.pg_depend d
where d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
  and d.deptype in ('a', 'i')
  and d.refobjsubid > 0
union
select d.refobjid, f.adrelid, f.adnum
from pg_catalog.pg_depend d
join pg_catalog.pg_attrdef f on f.oid = d.objid
where d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass
  and d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
"""
# All numbers count upwards: those of a falling sequence are turned round. What is left is in steps.
NARROW = f"""
with fed as ({FED}),
narrowest as (
    select distinct on (f.sequence) f.sequence, f.relation, a.attname, a.atttypid,
           case a.atttypid when 21 then 32767 else 2147483647 end::numeric as most
    from fed f
    join pg_catalog.pg_attribute a on a.attrelid = f.relation and a.attnum = f.attnum
    where a.atttypid in (21, 23)
    order by f.sequence, most
),
turned as (
    select c.oid, n.nspname, c.relname, s.seqincrement > 0 as rises, abs(s.seqincrement)::numeric as step,
           case when s.seqincrement > 0
                then coalesce(pg_catalog.pg_sequence_last_value(c.oid), s.seqstart)::numeric
                else -coalesce(pg_catalog.pg_sequence_last_value(c.oid), s.seqstart)::numeric end as value,
           case when s.seqincrement > 0 then s.seqmax::numeric else -s.seqmin::numeric end as last
    from pg_catalog.pg_sequence s
    join pg_catalog.pg_class c on c.oid = s.seqrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where not s.seqcycle
      and c.relpersistence <> 't'
      and {USER_SCHEMA}
      and {NOT_OF_EXTENSION}
),
planned as (
    select t.*, w.relation, w.attname, w.atttypid,
           w.most + case when t.rises then 0 else 1 end as most,
           ceil(%(shift)s / t.step) as steps,
           div(t.last - t.value, t.step) as room
    from turned t
    left join narrowest w on w.sequence = t.oid
)
select p.nspname as schema,
       p.relname as name,
       p.rises,
       p.room,
       p.value,
       p.most,
       p.steps,
       p.relation::pg_catalog.regclass::text || '.' || pg_catalog.quote_ident(p.attname) as column,
       pg_catalog.format_type(p.atttypid, null) as type,
       div(p.most - p.value, p.step) as fits,
       p.value <= p.most
           and p.value + p.step * least(p.steps, case when p.room < 2 * p.steps then div(p.room, 2)
                                                      else p.steps end) > p.most as passes
from planned p
where %(shift)s > 0
  and (p.room < 2 * p.steps or p.most - p.value < 2 * p.steps * p.step)
order by 1, 2
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at where each sequence of the side that serves stands."""
    shift = ctx.config.sequences.shift
    schema_is_there = Registry(ctx.destination, ctx.names).is_ours()
    for row in ctx.source.rows(NARROW, {"shift": shift}):
        name = label(row.schema, row.name)
        if row.passes:
            # Once the destination has its sequences, one that is changed here alone has gone apart.
            smaller = f"[sequences] shift = {max(int(row.fits) // 2, 0)}"
            limit = f"maxvalue {row.most}" if row.rises else f"minvalue {-row.most}"
            yield Finding(
                Severity.BLOCK,
                name,
                f"sequence {name} feeds {row.column} ({row.type}), which holds {row.fits} more; a shift of "
                f"{shift} would set it past that",
                smaller if schema_is_there else f"alter sequence {name} {limit};",
                "" if schema_is_there else "source",
            )
        elif row.most is None or row.value <= row.most:
            left = row.room if row.most is None else min(row.room, row.fits)
            yield Finding(
                Severity.WARN,
                name,
                f"sequence {name} has {left} values left, and a shift of {shift} is to come",
                "a smaller [sequences] shift, or more room: a wider column, alter sequence … maxvalue",
            )
