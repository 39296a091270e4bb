"""What reaches out of the database is known: foreign servers, files, dblink.

Why it matters: foreign servers and their user mappings, passwords included, are copied as they are. The
destination then connects from its own host, to where the source did: localhost is another machine there, and
a server that leads to the source itself reads what is no longer written. Foreign tables on files and
programs need these on the destination's host. A materialized view over a foreign table is filled during
the migration, by the destination.
How to fix: let the destination's host in where the server leads, or alter server … options (set host …)
on the destination after copy_schema.
When to ignore: the address is right from both hosts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import USER_SCHEMA, not_of_extension
from migrator.pg.preload import sizes
from migrator.pg.view_reads import READS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.MISC

# Of the options only those that say where: a password may be among the others.
SERVERS = f"""
select pg_catalog.quote_ident(s.srvname) as name,
       w.fdwname as wrapper,
       (select pg_catalog.json_object_agg(o.option_name, o.option_value)
        from pg_catalog.pg_options_to_table(s.srvoptions) o
        where o.option_name in ('host', 'hostaddr', 'port', 'dbname')) as leads_to,
       (select count(*) from pg_catalog.pg_foreign_table t where t.ftserver = s.oid) as tables,
       (select count(*)
        from pg_catalog.pg_user_mapping u
        where u.umserver = s.oid
          and exists (select from unnest(u.umoptions) as o (option) where o.option ~ '^password=')
       ) as passwords
from pg_catalog.pg_foreign_server s
join pg_catalog.pg_foreign_data_wrapper w on w.oid = s.srvfdw
where w.fdwname <> 'file_fdw'
  and {not_of_extension("pg_foreign_server", "s.oid")}
order by 1
"""
# Of a program its name alone: a password may be among its arguments.
FILES = f"""
select c.oid::pg_catalog.regclass::text as name,
       o.option_name as kind,
       case o.option_name when 'program' then split_part(o.option_value, ' ', 1)
                          else o.option_value end as path
from pg_catalog.pg_foreign_table t
join pg_catalog.pg_class c on c.oid = t.ftrelid
cross join lateral pg_catalog.pg_options_to_table(t.ftoptions) o
where o.option_name in ('filename', 'program')
  and {not_of_extension("pg_class", "c.oid")}
order by 1
"""
CALLING = f"""
select p.oid::pg_catalog.regprocedure::text as name
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where p.prosrc ~ '\\mdblink(_\\w+)?\\s*\\('
  and exists (select from pg_catalog.pg_extension where extname = 'dblink')
  and {USER_SCHEMA}
  and {not_of_extension("pg_proc", "p.oid")}
order by 1
"""
FILLED = f"""
with recursive {READS}
select v.matview::pg_catalog.regclass::text as name,
       string_agg(distinct pg_catalog.quote_ident(s.srvname), ', ') as servers
from reads v
join pg_catalog.pg_foreign_table t on t.ftrelid = v.relation
join pg_catalog.pg_foreign_server s on s.oid = t.ftserver
group by 1
order by 1
"""
OWN_HOST = ("localhost", "127.0.0.1", "::1")
SHOWN = 5


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List what is there."""
    own = {ctx.source.connection.info.host, ctx.source.connection.info.hostaddr}
    for row in ctx.source.rows(SERVERS):
        leads_to = row.leads_to or {}
        host = leads_to.get("hostaddr") or leads_to.get("host") or ""
        where = " ".join(f"{k}={v}" for k, v in sorted(leads_to.items())) or "no address"
        passwords = f", {row.passwords} user mappings with their passwords" if row.passwords else ""
        if not host or host in OWN_HOST or host.startswith("/"):
            what = "which is the server's own host, another one on the destination"
        elif host in own:
            what = "which is the source itself"
        else:
            what = "which the destination is to reach, too"
        yield Finding(
            Severity.WARN,
            row.name,
            f"foreign server {row.name} ({row.wrapper}) with {row.tables} tables{passwords} is copied as it "
            f"is and leads to {where}, {what}",
            f"on the destination, after copy_schema: alter server {row.name} options (set host …)",
        )
    files = ctx.source.rows(FILES)
    there = sizes(ctx.destination, (row.path for row in files))
    for row in files:
        thing = "file" if row.kind == "filename" else "program"
        if row.path not in there:
            yield Finding(
                Severity.WARN if thing == "file" else Severity.INFO,
                row.name,
                f"foreign table {row.name} reads {thing} {row.path} of the server's host",
                f"have the {thing} on the destination's host",
            )
    callers = [row.name for row in ctx.source.rows(CALLING)]
    if callers:
        more = f" and {len(callers) - SHOWN} more" if len(callers) > SHOWN else ""
        yield Finding(
            Severity.WARN,
            "dblink",
            f"{len(callers)} functions call dblink, and go on to connect where they do now: "
            f"{', '.join(callers[:SHOWN])}{more}",
            "see that what they name is reached from the destination's host",
        )
    for row in ctx.source.rows(FILLED):
        yield Finding(
            Severity.WARN,
            row.name,
            f"materialized view {row.name} is filled by the destination through foreign server "
            f"{row.servers}, while the migration waits for it",
            "see that the destination's host reaches it",
        )
