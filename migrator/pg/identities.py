"""Replica identities that migrator has set on tables of the source, and how they are given back.

What a table had before is recorded in our schema on the source, in the transaction that changes it. A table
whose identity somebody has changed since, or that somebody else publishes, is left as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.pg.activity import name_holders
from migrator.pg.patience import LOCK_TIMEOUT, patiently
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.pg.catalog import Table
    from migrator.pg.names import Names
    from migrator.pg.registry import WritableRegistry
    from migrator.pg.session import ReadSession, WriteSession

# The kind as pg_class has it: d default, n nothing, f full, i by an index, which is named.
REMEMBER = """
insert into {schema}.identities (relation, before, before_index)
select c.oid, c.relreplident, x.relname
from pg_catalog.pg_class c
left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisreplident
left join pg_catalog.pg_class x on x.oid = i.indexrelid
where c.oid = %s
on conflict (relation) do nothing
"""
COMPLETE = """
update {schema}.identities s
set after = c.relreplident,
    after_index = x.relname
from pg_catalog.pg_class c
left join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisreplident
left join pg_catalog.pg_class x on x.oid = i.indexrelid
where c.oid = s.relation and c.oid = %s
"""
RECORDED = """
select n.nspname as schema, c.relname as name, s.before::text, s.before_index, s.after::text, s.after_index
from {schema}.identities s
join pg_catalog.pg_class c on c.oid = s.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 1, 2
"""
# Whoever else publishes a table needs the identity that it has.
NOW = """
select n.nspname as schema,
       c.relname as name,
       c.oid,
       c.relreplident::text as identity,
       (
           select x.relname::text
           from pg_catalog.pg_index i
           join pg_catalog.pg_class x on x.oid = i.indexrelid
           where i.indrelid = c.oid and i.indisreplident
       ) as index,
       exists (
           select
           from pg_catalog.pg_publication p
           where not p.pubname = any (%(ours)s)
             and (p.puballtables
                  or exists (
                      select
                      from pg_catalog.pg_publication_rel r
                      where r.prpubid = p.oid and r.prrelid = c.oid))
       ) as published
from unnest(%(schemas)s::text[], %(names)s::text[]) as t (schema, name)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
order by 1, 2
"""
KINDS = {"d": "default", "n": "nothing", "f": "full"}


@dataclass(frozen=True)
class Given:
    """One table of one side with what gives its former identity back; ``why_not`` it is to be left."""

    oid: int
    label: str
    statement: sql.Composed
    why_not: str = ""


def set_identity(
    registry: WritableRegistry, table: Table, statement: str, sleep: Callable[[float], None]
) -> None:
    """Run the statement that gives a table its identity, and record what it had, in one transaction.

    Waits for the table's lock a moment at a time. Raises TimedOut naming who holds it.
    """
    session = registry.session

    def change() -> None:
        registry.run(REMEMBER, [table.oid])
        session.run(statement)
        registry.run(COMPLETE, [table.oid])

    _patiently(session, registry.names, table, change, sleep)


def to_give_back(registry: Registry, session: ReadSession) -> list[Given]:
    """Return the tables of the session's side whose identity is still the one that we set."""
    rows = {(row.schema, row.name): row for row in registry.rows(RECORDED)}
    if not rows:
        return []
    wanted = {
        "ours": [stream.publication for stream in registry.names.streams],
        "schemas": [schema for schema, _ in rows],
        "names": [name for _, name in rows],
    }
    found = []
    for now in session.rows(NOW, wanted):
        row = rows[now.schema, now.name]
        is_ours = (now.identity, now.index) == (row.after, row.after_index)
        if is_ours and (row.before, row.before_index) != (row.after, row.after_index):
            name = sql.Identifier(now.schema, now.name)
            why = "others publish it" if now.published else ""
            found.append(Given(now.oid, name.as_string(), _giving(name, row), why))
    return found


def give_back(
    names: Names,
    source: WriteSession,
    destination: WriteSession,
    sleep: Callable[[float], None],
    note: Callable[[str], None],
) -> None:
    """Give all identities back on both sides, a table at a time; tell of those that are left.

    Raises TimedOut naming who holds a table's lock.
    """
    registry = Registry(source, names)
    for session in (destination, source):
        for given in to_give_back(registry, session):
            if given.why_not:
                note(f"{given.label} of the {session.side} keeps its replica identity: {given.why_not}")
            else:
                _patiently(session, names, given, partial(session.run, given.statement), sleep)


def _patiently(
    session: WriteSession,
    names: Names,
    table: Given | Table,
    work: Callable[[], object],
    sleep: Callable[[float], None],
) -> None:
    def change() -> None:
        with session.bounded(LOCK_TIMEOUT), session.transaction():
            work()

    patiently(
        change,
        sleep,
        what=f"the replica identity of {table.label}",
        explain=partial(name_holders, session, names, [table.oid], readers=True),
    )


def _giving(name: sql.Identifier, row: Any) -> sql.Composed:
    how: sql.Composable = sql.SQL(KINDS.get(row.before, "using index "))
    if row.before == "i":
        how += sql.Identifier(row.before_index)
    return sql.SQL("alter table only {} replica identity {}").format(name, how)
