"""Functions that rows are computed or checked by work on the destination as they do on the source.

Why it matters: rows are copied, indexed and streamed with an empty search path. A function behind a
generated column, a check, an index or a materialized view that names a table, a function or a type without
its schema fails there, and the migration stops. One that reads a table finds it as far as it is copied: a
check may refuse rows that were accepted, a generated column may come out otherwise.
How to fix: write the schemas into the function's body, or set its search_path; that keeps PostgreSQL from
inlining it. A check that reads tables is put back after the copy where it is NOT VALID.
When to ignore: the name only looks like one (a variable, an alias), or the table that is read has its rows
before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.check import Finding, Group, Severity
from migrator.pg.row_functions import row_functions
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.row_functions import Caller, RowFunction

GROUP = Group.DB
SHOWN = 3
AFTER_THE_COPY = ("index", "materialized view", "statistics")
# Of a partitioned table, of one with children, of a domain: what belongs to it belongs to all.
LATER = """
select pg_catalog.format(
           case when k.conrelid = 0
                then 'alter domain %%1$s drop constraint %%2$I; alter domain %%1$s add constraint %%2$I %%3$s'
                else 'alter table %%1$s drop constraint %%2$I, add constraint %%2$I %%3$s' end,
           case when k.conrelid = 0 then k.contypid::pg_catalog.regtype::text
                else k.conrelid::pg_catalog.regclass::text end,
           k.conname,
           pg_catalog.pg_get_constraintdef(k.oid)
       ) || ' not valid;' as statement,
       k.oid
from pg_catalog.pg_constraint k
where k.oid = any (%s)
  and k.convalidated
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Read the bodies of the functions that are called."""
    found = row_functions(ctx.source)
    safe = ctx.destination_server.has(Feature.SAFE_SEARCH_PATH)
    for function in found:
        yield from _unqualified(function, safe=safe)
    yield from _lookups(ctx, found)


def _unqualified(function: RowFunction, *, safe: bool) -> Iterator[Finding]:
    # Before 17 materialized views are refreshed with the usual search path.
    names = function.unqualified
    if not safe and all(c.kind == "materialized view" for c in function.callers):
        names = {name: schema for name, schema in names.items() if schema != "public"}
    if not names:
        return
    path = sql.SQL(", ").join(map(sql.Identifier, sorted(set(names.values())))).as_string()
    yield Finding(
        Severity.BLOCK if function.language == "sql" else Severity.WARN,
        function.identity,
        f"function {function.identity} is called for {_told(function.callers)}, where the search path is "
        f"empty, and names {', '.join(sorted(names))} without a schema",
        f"alter function {function.identity} set search_path = {path};",
        "source",
    )


def _lookups(ctx: ReadContext, found: list[RowFunction]) -> Iterator[Finding]:
    lookups: dict[Caller, tuple[RowFunction, set[str]]] = {}
    for function in found:
        for caller in function.callers:
            if function.reads and caller.kind not in AFTER_THE_COPY:
                lookups.setdefault(caller, (function, set()))[1].update(function.reads)
    checks = [caller.oid for caller in lookups if caller.oid]
    later = {row.oid: row.statement for row in ctx.source.rows(LATER, [checks])} if checks else {}
    for caller, (function, tables) in sorted(lookups.items(), key=lambda one: one[0]):
        if caller.oid and caller.oid not in later:
            continue  # It is not valid, and comes after the copy anyway.
        statement = later.get(caller.oid, "")
        yield Finding(
            Severity.WARN,
            caller.name,
            f"{caller.kind} {caller.name} calls {function.identity}, which reads what need not be copied yet "
            f"when it is called: {', '.join(sorted(tables))}",
            statement or f"compare {caller.name} on both sides after the copy; or make it an ordinary column",
            "source" if statement else "",
        )


def _told(callers: set[Caller]) -> str:
    told = [f"{c.kind} {c.name}" for c in sorted(callers)]
    return ", ".join(told[:SHOWN]) + (f" and {len(told) - SHOWN} more" if len(told) > SHOWN else "")
