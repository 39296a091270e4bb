"""Nothing of the source is in a tablespace of its own.

Why it matters: tablespaces are directories of one machine. On the destination everything goes to the
database's default tablespace, which needs the room; a setting that names a tablespace which is not there is
passed over with a warning at each login.
How to fix: create tablespace … on the destination and alter table … set tablespace … after the cutover;
or create the destination database in the tablespace that is to have it all.
When to ignore: one place on the destination is large and fast enough for everything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

# Sizes as vacuum has last seen them; a partitioned root says where its partitions are to be.
USED = """
select pg_catalog.quote_ident(s.spcname) as name,
       count(*) filter (where c.relkind in ('r', 'm')) as tables,
       count(*) filter (where c.relkind = 'i') as indexes,
       coalesce(sum(c.relpages::bigint), 0) * pg_catalog.current_setting('block_size')::bigint as bytes
from pg_catalog.pg_class c
join pg_catalog.pg_tablespace s on s.oid = c.reltablespace
where s.spcname not in ('pg_default', 'pg_global')
  and c.relpersistence <> 't'
group by 1
union all
select pg_catalog.quote_ident(s.spcname), null, null, null
from pg_catalog.pg_database d
join pg_catalog.pg_tablespace s on s.oid = d.dattablespace
where d.datname = current_database()
  and s.spcname <> 'pg_default'
order by 1
"""
SETTINGS = """
select distinct split_part(c.setting, '=', 1) as name, substr(c.setting, strpos(c.setting, '=') + 1) as value
from pg_catalog.pg_db_role_setting s
cross join lateral unnest(s.setconfig) as c (setting)
where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
  and c.setting ~ '^(default_tablespace|temp_tablespaces)='
order by 1, 2
"""
NAMES = "select spcname from pg_catalog.pg_tablespace"


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List the tablespaces that are used, and those that settings name."""
    for row in ctx.source.rows(USED):
        what = (
            "the database's tables and indexes are"
            if row.tables is None
            else f"{row.tables} tables and {row.indexes} indexes, about {Size(row.bytes).text}, are"
        )
        yield Finding(
            Severity.WARN,
            row.name,
            f"{what} in tablespace {row.name}; on the destination all go to the database's own",
            f"create tablespace {row.name} on the destination and move them after the cutover; or make room "
            "in its default tablespace",
        )
    settings = ctx.source.rows(SETTINGS)
    have = {row.spcname for row in ctx.destination.rows(NAMES)} if settings else set()
    for row in settings:
        wanted = [name.strip().strip('"') for name in re.split(",", row.value)]
        for name in sorted({name for name in wanted if name} - have):
            yield Finding(
                Severity.WARN,
                f"{row.name}={name}",
                f"a setting of the database names tablespace {name}, which the destination does not have",
                f"create tablespace {name} on the destination; or alter database … reset {row.name}",
            )
