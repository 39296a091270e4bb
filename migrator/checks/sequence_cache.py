"""The shift covers what sessions take from sequences in advance.

Why it matters: a session takes as many values at once as the sequence's CACHE says. Nobody can be kept from
nextval() while the writes change hands: what is taken between the reading of the source's sequences and the
end of its sessions is covered by [sequences] shift alone, or it is given out once more by the destination.
How to fix: a shift of at least one cache for each session.
When to ignore: the application writes each value with the session that took it, in the same transaction: a
session of the source takes values and can write none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, label

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("plan", "copy_schema", "sync_sequences", "cut_over")

# What one session takes at once, in values as the shift counts them.
CACHES = f"""
select n.nspname as schema, c.relname as name, s.seqcache * abs(s.seqincrement::numeric) as taken
from pg_catalog.pg_sequence s
join pg_catalog.pg_class c on c.oid = s.seqrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where s.seqcache > 1
  and not s.seqcycle
  and c.relpersistence <> 't'
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
  and s.seqcache * abs(s.seqincrement::numeric) * %(sessions)s > %(shift)s
order by 3 desc, 1, 2
"""
SESSIONS = """
select count(*)
from pg_catalog.pg_stat_activity
where datname = current_database()
  and backend_type = 'client backend'
  and application_name !~ '^migrator'
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the shift with the largest cache, for as many sessions as there are now."""
    sessions = max(ctx.source.value(SESSIONS), 1)
    shift = ctx.config.sequences.shift
    rows = ctx.source.rows(CACHES, {"sessions": sessions, "shift": shift})
    if rows:
        largest = rows[0]
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        each = "1 session" if sessions == 1 else f"each of {sessions} sessions"
        yield Finding(
            Severity.WARN,
            "sequences.shift",
            f"is {shift}; of sequence {label(largest.schema, largest.name)} {each} takes {largest.taken} "
            f"values at once{more}",
            f"[sequences] shift = {largest.taken * sessions}",
        )
