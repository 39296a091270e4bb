"""Nothing keeps the application from writing to the destination once it is open.

Why it matters: migrator lifts the read-only default of the destination's database when it opens it. One of
the server, or of the application's role, outlives that: the application could not write after the cutover.
How to fix: run the SQL given.
When to ignore: the role is meant to read only, there as here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.USER
BEFORE = ("plan", "copy_schema", "cut_over")

# What is set for a role in the database is copied from the source.
READ_ONLY = """
select coalesce(r.rolname, '')::text as name,
       case when s.setrole = 0 then 'all' else pg_catalog.quote_ident(r.rolname) end as role
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
left join pg_catalog.pg_roles r on r.oid = s.setrole
where s.setdatabase = 0
  and split_part(c.setting, '=', 1) = 'default_transaction_read_only'
  and split_part(c.setting, '=', 2)::boolean
order by 1
"""
ROLES = "select rolname from pg_catalog.pg_roles"
SERVER = """
select f.setting
from pg_catalog.pg_file_settings f
where f.name = 'default_transaction_read_only'
  and f.applied
order by f.seqno desc
limit 1
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Look at the destination's server, then at its roles, except those that are read-only on the source."""
    if ctx.destination.value(SERVER) not in (None, "off", "false", "no", "0"):
        yield Finding(
            Severity.BLOCK,
            "destination",
            "default_transaction_read_only is on for the whole destination server",
            "alter system set default_transaction_read_only = off; -- then reload the server",
            "destination",
        )
    there = {row.name for row in ctx.source.rows(READ_ONLY)}
    known = {row.rolname for row in ctx.source.rows(ROLES)} | {""}
    for row in ctx.destination.rows(READ_ONLY):
        if row.name in known - there:
            yield Finding(
                Severity.BLOCK,
                row.role,
                f"role {row.role} is read-only by default on the destination, and not on the source",
                f"alter role {row.role} reset default_transaction_read_only;",
                "destination",
            )
