"""Transaction numbers do not run short, and no vacuum that may not be interrupted is due.

Why it matters: the copy's snapshot and the slot hold back the cleaning of old rows for as long as the copy
takes, so numbers get older. A vacuum to prevent wraparound, unlike another autovacuum, does not give way to
the lock that the fence wants: the cutover would be given up until it has ended. Near the end of the numbers a
server refuses to write.
How to fix: vacuum freeze the tables that are named before the cutover; end what holds old rows back.
When to ignore: what is named will have been vacuumed before the cutover.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size
from migrator.pg.activity import describe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "sync_sequences", "cut_over")

# Of 2^31: from 1.6 thousand million on a vacuum heeds nothing else; 3 million before the end a server stops.
OLD, LAST = 1_500_000_000, 1_900_000_000
DATABASES = """
select d.datname as name, pg_catalog.age(d.datfrozenxid) as age
from pg_catalog.pg_database d
where pg_catalog.age(d.datfrozenxid) > %s
order by age desc
"""
# Large ones only: what is vacuumed within seconds is in nobody's way. A table's TOAST comes with it.
DUE = """
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname) as name,
       max(pg_catalog.age(v.relfrozenxid)) as age,
       sum(v.relpages)::bigint * current_setting('block_size')::int as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join pg_catalog.pg_class v on v.oid in (c.oid, c.reltoastrelid)
where c.relkind in ('r', 'm')
  and c.relpersistence <> 't'
group by 1
having sum(v.relpages)::bigint * current_setting('block_size')::int >= %(large)s
   and bool_or(pg_catalog.age(v.relfrozenxid) > 0.95 * least(
       current_setting('autovacuum_freeze_max_age')::bigint,
       (select o.option_value::bigint
        from pg_catalog.pg_options_to_table(v.reloptions) o
        where o.option_name = 'autovacuum_freeze_max_age')
   ))
order by bytes desc
limit 20
"""
LARGE = 1024**3
VACUUMING = """
select p.pid,
       p.relid::pg_catalog.regclass::text as name,
       100 * p.heap_blks_scanned / nullif(p.heap_blks_total, 0) as percent
from pg_catalog.pg_stat_progress_vacuum p
join pg_catalog.pg_stat_activity a on a.pid = p.pid
where p.datname = current_database()
  and a.query like '%(to prevent wraparound)'
order by p.pid
"""
# By half of what makes autovacuum begin, nothing has been frozen for long.
SESSIONS = """
select a.pid,
       a.usename as role,
       a.application_name as application,
       a.state,
       extract(epoch from clock_timestamp() - a.xact_start)::int as age,
       left(a.query, 100) as query,
       pg_catalog.age(a.backend_xmin) as held,
       pg_catalog.format(
           'select pg_catalog.pg_terminate_backend(pid) from pg_catalog.pg_stat_activity '
           'where pid = %%s and backend_start = %%L;',
           a.pid, a.backend_start
       ) as ending
from pg_catalog.pg_stat_activity a
where a.backend_type = 'client backend'
  and a.application_name <> all (%s)
  and pg_catalog.age(a.backend_xmin) > current_setting('autovacuum_freeze_max_age')::bigint / 2
order by held desc, a.pid
"""
SLOTS = """
select s.slot_name::text as name,
       greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin)) as held,
       pg_catalog.format('select pg_catalog.pg_drop_replication_slot(%%L);', s.slot_name) as remove
from pg_catalog.pg_replication_slots s
where pg_catalog.left(s.slot_name, pg_catalog.length(%(ours)s)) <> %(ours)s
  and greatest(pg_catalog.age(s.xmin), pg_catalog.age(s.catalog_xmin))
      > current_setting('autovacuum_freeze_max_age')::bigint / 2
order by held desc, name
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at ages on the source, whose rows are held back and whose tables are fenced."""
    for row in ctx.source.rows(DATABASES, [OLD]):
        yield Finding(
            Severity.BLOCK if row.age > LAST else Severity.WARN,
            f"database {row.name}",
            f"the oldest row of database {row.name} is {row.age:,} transactions old, of 2,147,483,648",
            f"in database {row.name} of the source: vacuum freeze the oldest tables",
        )
    for row in ctx.source.rows(VACUUMING):
        yield Finding(
            Severity.WARN,
            row.name,
            f"a vacuum to prevent wraparound (pid {row.pid}) has read {row.percent or 0} % of {row.name}; "
            "the fence would wait for it",
            "let it end before the cutover",
        )
    for row in ctx.source.rows(DUE, {"large": LARGE}):
        yield Finding(
            Severity.WARN,
            row.name,
            f"a vacuum of {row.name} ({Size(row.bytes).text}) to prevent wraparound is due: its oldest row "
            f"is {row.age:,} transactions old",
            f"vacuum (freeze, analyze) {row.name};",
            "source",
        )
    for row in ctx.source.rows(SESSIONS, [[ctx.names.application, ctx.names.observer]]):
        yield Finding(
            Severity.WARN,
            f"pid {row.pid}",
            f"a session holds back rows that are {row.held:,} transactions old: {describe([row])}",
            row.ending,
            "source",
        )
    for row in ctx.source.rows(SLOTS, {"ours": ctx.names.slot}):
        yield Finding(
            Severity.WARN,
            row.name,
            f"slot {row.name} holds back rows that are {row.held:,} transactions old",
            row.remove.removesuffix(";") + "; -- if its reader does not come back",
            "source",
        )
