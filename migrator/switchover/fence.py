"""The fence: triggers that refuse writes, and the database's read-only default.

Statement triggers on every user table, partitioned roots and inheritance parents included, because a
statement on a root fires only the root's (documentation 37.1). They are enabled ``always``, so that a
session with ``session_replication_role = replica`` is held too; the stream's apply worker applies rows
without firing statement triggers, and its TRUNCATE is let through: a fenced side still receives its stream.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.activity import name_holders
from migrator.pg.catalog import Table, all_tables
from migrator.pg.patience import patiently
from migrator.pg.registry import WritableRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import WriteContext
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

FUNCTION = """
create or replace function {schema}.refuse_write() returns trigger
language plpgsql
as $refuse$
begin
    if tg_op = 'TRUNCATE' and exists (
        select from pg_catalog.pg_stat_subscription where pid = pg_catalog.pg_backend_pid()
    ) then
        return null;
    end if;
    raise exception using
        errcode = 'read_only_sql_transaction',
        message = 'cannot write to ' || tg_table_schema || '.' || tg_table_name
                  || ': database ' || current_database() || ' is fenced by a migration',
        hint = tg_argv[0];
end
$refuse$
"""
# What the triggers do once the destination is open: nothing, until they are dropped.
FUNCTION_OPEN = """
create or replace function {schema}.refuse_write() returns trigger
language plpgsql
as $open$
begin
    return null;
end
$open$
"""
CREATE = """
create trigger {trigger}
before insert or update or delete or truncate on {table}
for each statement execute procedure {schema}.refuse_write({hint})
"""
# State 'D' is disabled. Ours calls our function.
TRIGGERS = """
select t.tgrelid as relation,
       t.tgrelid::pg_catalog.regclass::text as label,
       t.tgenabled::text as state,
       n.nspname = %s as ours
from pg_catalog.pg_trigger t
join pg_catalog.pg_proc p on p.oid = t.tgfoid
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where t.tgname = %s
order by 2
"""
SWITCH = "alter table {table} {verb} trigger {trigger}"
DROP = "drop trigger if exists {trigger} on {table}"
READ_ONLY = "alter database {database} set default_transaction_read_only = on"
READ_WRITE = "alter database {database} reset default_transaction_read_only"
IS_READ_ONLY = """
select exists (
    select
    from pg_catalog.pg_db_role_setting s
    cross join lateral unnest(s.setconfig) as c (setting)
    where s.setdatabase = (select oid from pg_catalog.pg_database where datname = current_database())
      and s.setrole = 0
      and c.setting = 'default_transaction_read_only=on'
)
"""


def states(session: ReadSession, names: Names) -> dict[int, bool]:
    """Return, by table oid, whether the fence trigger that stands there is enabled."""
    rows = session.rows(TRIGGERS, [names.schema, names.fence])
    return {row.relation: row.state != "D" for row in rows if row.ours}


def in_the_way(session: ReadSession, names: Names) -> str:
    """Name the tables with a trigger of the fence's name that is not ours, or return nothing."""
    rows = session.rows(TRIGGERS, [names.schema, names.fence])
    theirs = ", ".join(row.label for row in rows if not row.ours)
    return f"the {session.side} has triggers {names.fence} that are not ours, on {theirs}" if theirs else ""


def is_read_only(session: ReadSession) -> bool:
    """Return whether the database's default is read-only."""
    return bool(session.value(IS_READ_ONLY))


def prepare(ctx: WriteContext, session: WriteSession, hint: str) -> int:
    """Create the fence triggers, disabled, on every table that has none; return how many.

    Each table is one short transaction: the lock (``share row exclusive``) waits ``[copy]
    lock_timeout`` at most, then is given up and tried again. Raises TimedOut naming who is in the way.
    """
    registry = WritableRegistry(session, ctx.names)
    have = states(session, ctx.names)
    missing = [t for t in all_tables(session) if t.oid not in have]
    with session.bounded(ctx.config.copy.lock_timeout):
        if missing:
            session.run(registry.query(FUNCTION))
        for number, table in enumerate(missing, 1):
            _prepare_one(ctx, session, registry, table, hint)
            ctx.progress(number, len(missing), "tables", table.label)
    return len(missing)


def _prepare_one(
    ctx: WriteContext, session: WriteSession, registry: WritableRegistry, table: Table, hint: str
) -> None:
    trigger = sql.Identifier(ctx.names.fence)
    create = sql.SQL(CREATE).format(
        trigger=trigger,
        table=table.identifier,
        schema=sql.Identifier(registry.names.schema),
        hint=sql.Literal(hint),
    )

    # One message is one transaction: nobody meets the trigger before it is disabled.
    patiently(
        partial(session.run, sql.SQL("; ").join((create, _switch(table, trigger, "disable")))),
        ctx.sleep,
        what=f"fence trigger on {table.label} of the {session.side}",
        attempts=ctx.config.copy.lock_attempts,
        explain=lambda: name_holders(session, ctx.names, [table.oid]),
    )


def switch(session: WriteSession, names: Names, tables: list[Table], *, up: bool) -> None:
    """Enable or disable the fence triggers of ``tables`` in one message, within the caller's transaction."""
    trigger = sql.Identifier(names.fence)
    verb = "enable always" if up else "disable"
    if tables:
        session.run(sql.SQL("; ").join(_switch(t, trigger, verb) for t in tables))


def switch_one_by_one(ctx: WriteContext, session: WriteSession, *, up: bool) -> None:
    """Enable or disable every fence trigger that stands, each table by itself, giving way to others."""
    with session.bounded(ctx.config.copy.lock_timeout):
        for table in fenced_tables(session, ctx.names, up=not up):
            patiently(
                partial(switch, session, ctx.names, [table], up=up),
                ctx.sleep,
                what=f"fence trigger on {table.label} of the {session.side}",
                attempts=ctx.config.copy.lock_attempts,
                explain=partial(name_holders, session, ctx.names, [table.oid]),
            )


@contextmanager
def lifted(session: WriteSession, names: Names, tables: list[Table]) -> Iterator[None]:
    """Let the caller's transaction write to ``tables``; nobody else ever sees their fence down."""
    found = states(session, names)
    up = [t for t in tables if found.get(t.oid)]
    switch(session, names, up, up=False)
    yield
    switch(session, names, up, up=True)


def let_through(session: WriteSession, names: Names) -> None:
    """Make the fence triggers refuse nothing, within the caller's transaction, without any table's lock."""
    session.run(sql.SQL(FUNCTION_OPEN).format(schema=sql.Identifier(names.schema)))


def set_read_only(session: WriteSession, database: str, *, on: bool) -> None:
    """Set or reset the database's read-only default, within the caller's transaction."""
    statement = READ_ONLY if on else READ_WRITE
    session.run(sql.SQL(statement).format(database=sql.Identifier(database)))


def fenced_tables(session: ReadSession, names: Names, *, up: bool) -> list[Table]:
    """Return the tables whose fence trigger stands and is enabled (``up``) or disabled."""
    found = states(session, names)
    if up not in found.values():
        return []
    return [t for t in all_tables(session) if found.get(t.oid) is up]


def drop(ctx: WriteContext, session: WriteSession) -> None:
    """Drop the fence triggers, a table at a time, and lift nothing else."""
    trigger = sql.Identifier(ctx.names.fence)
    have = states(session, ctx.names)
    tables = [t for t in all_tables(session) if t.oid in have]
    with session.bounded(ctx.config.copy.lock_timeout):
        for table in tables:
            patiently(
                partial(session.run, sql.SQL(DROP).format(trigger=trigger, table=table.identifier)),
                ctx.sleep,
                what=f"dropping the fence trigger of {table.label}",
                attempts=ctx.config.copy.lock_attempts,
                explain=partial(name_holders, session, ctx.names, [table.oid], readers=True),
            )


def _switch(table: Table, trigger: sql.Identifier, verb: str) -> sql.Composed:
    return sql.SQL(SWITCH).format(table=table.identifier, verb=sql.SQL(verb), trigger=trigger)
