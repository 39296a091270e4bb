"""The fence: triggers that refuse writes, and the database's read-only default.

Statement triggers on every user table, partitioned roots and inheritance parents included, because a
statement on a root fires only the root's (documentation 37.1). They are enabled ``always``, so that a
session with ``session_replication_role = replica`` is held too; the stream's apply worker applies rows
without firing statement triggers, and its TRUNCATE is let through: a fenced side still receives its stream.

Whether they refuse is said by their function, which is replaced to raise or lower the fence: one catalog
row however many tables there are, and no table's lock. Whoever waits for a table's lock sees the function
that was committed while it waited, because a session takes note of changed catalogs with every lock.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.pg.activity import name_holders
from migrator.pg.catalog import Table, all_tables
from migrator.pg.patience import patiently
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import WriteContext
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

# Who writes has no rights in our schema, and the sequence that counts is there: so the function runs with
# its owner's, on names that nobody can change. What a sequence counts outlives the statement's rollback.
FUNCTION_UP = """
create or replace function {schema}.refuse_write() returns trigger
language plpgsql
security definer
set search_path = pg_catalog
as $refuse$
begin
    if tg_op = 'TRUNCATE' and exists (
        select from pg_catalog.pg_stat_subscription where pid = pg_catalog.pg_backend_pid()
    ) then
        return null;
    end if;
    perform pg_catalog.nextval({refused});
    raise exception using
        errcode = 'read_only_sql_transaction',
        message = 'cannot write to ' || tg_table_schema || '.' || tg_table_name
                  || ': database ' || current_database() || ' is fenced by a migration',
        hint = tg_argv[0];
end
$refuse$
"""
COUNT_ANEW = "select pg_catalog.setval({refused}, 1, false)"
REFUSED = "select case when is_called then last_value else 0 end as count from {schema}.refused"
# What the triggers do while the fence is down, which costs a statement some microseconds.
FUNCTION_DOWN = """
create or replace function {schema}.refuse_write() returns trigger
language plpgsql
as $pass$
begin
    return null;
end
$pass$
"""
IS_UP = """
select p.prosrc ~ 'raise exception'
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where n.nspname = %s and p.proname = 'refuse_write'
"""
CREATE = """
create trigger {trigger}
before insert or update or delete or truncate on {table}
for each statement execute procedure {schema}.refuse_write({hint})
"""
ENABLE = "alter table {table} enable always trigger {trigger}"
# State 'A' is enabled always. Ours calls our function.
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


def covered(session: ReadSession, names: Names) -> set[int]:
    """Return the tables, by oid, whose fence trigger stands and fires for everybody."""
    rows = session.rows(TRIGGERS, [names.schema, names.fence])
    return {row.relation for row in rows if row.ours and row.state == "A"}


def standing(session: ReadSession, names: Names) -> set[int]:
    """Return the tables, by oid, that have a fence trigger of ours, whatever its state."""
    return {row.relation for row in session.rows(TRIGGERS, [names.schema, names.fence]) if row.ours}


def uncovered(session: ReadSession, names: Names) -> list[Table]:
    """Return the tables that the fence does not hold, up or down."""
    have = covered(session, names)
    return [t for t in all_tables(session) if t.oid not in have]


def is_up(session: ReadSession, names: Names) -> bool:
    """Return whether the triggers that stand refuse writes."""
    return bool(session.value(IS_UP, [names.schema]))


def in_the_way(session: ReadSession, names: Names) -> str:
    """Name the tables with a trigger of the fence's name that is not ours, or return nothing."""
    rows = session.rows(TRIGGERS, [names.schema, names.fence])
    theirs = ", ".join(row.label for row in rows if not row.ours)
    return f"the {session.side} has triggers {names.fence} that are not ours, on {theirs}" if theirs else ""


def is_read_only(session: ReadSession) -> bool:
    """Return whether the database's default is read-only."""
    return bool(session.value(IS_READ_ONLY))


def prepare(ctx: WriteContext, session: WriteSession, hint: str, *, up: bool) -> int:
    """Put the fence trigger on every table that has none, raised or lowered; return on how many.

    Each table is one short transaction: the lock (``share row exclusive``) waits ``[copy]
    lock_timeout`` at most, then is given up and tried again. Raises TimedOut naming who is in the way.
    """
    (raise_ if up else lower)(session, ctx.names)
    missing = uncovered(session, ctx.names)
    with session.bounded(ctx.config.copy.lock_timeout):
        for number, (table, message) in enumerate(
            zip(missing, triggers(session, ctx.names, hint, missing), strict=True), 1
        ):
            patiently(
                partial(session.run, message),
                ctx.sleep,
                what=f"fence trigger on {table.label} of the {session.side}",
                attempts=ctx.config.copy.lock_attempts,
                explain=partial(name_holders, session, ctx.names, [table.oid]),
            )
            ctx.progress(number, len(missing), "tables", table.label)
    return len(missing)


def triggers(
    session: ReadSession, names: Names, hint: str, missing: list[Table] | None = None
) -> list[sql.Composed]:
    """Return what puts the trigger on each table that the fence does not hold: one message, a transaction."""
    have = standing(session, names)
    return [
        sql.SQL("; ").join(
            sql.SQL(statement).format(
                trigger=sql.Identifier(names.fence),
                table=table.identifier,
                schema=sql.Identifier(names.schema),
                hint=sql.Literal(hint),
            )
            for statement in ([ENABLE] if table.oid in have else [CREATE, ENABLE])
        )
        for table in (uncovered(session, names) if missing is None else missing)
    ]


def raise_(session: WriteSession, names: Names) -> None:
    """Have the fence's triggers refuse writes, from the end of the caller's transaction on."""
    session.run(raising(names))


def raising(names: Names, *, anew: bool = True) -> sql.Composed:
    """Return the statements that raise the fence, as one message; ``anew`` counts what it refuses anew."""
    refused = sql.Literal(f"{names.schema}.refused")
    return sql.SQL("; ").join(
        sql.SQL(statement).format(schema=sql.Identifier(names.schema), refused=refused)
        for statement in ((FUNCTION_UP, COUNT_ANEW) if anew else (FUNCTION_UP,))
    )


def lower(session: WriteSession, names: Names) -> None:
    """Have the fence's triggers let everything through, from the end of the caller's transaction on."""
    session.run(lowering(names))


def lowering(names: Names) -> sql.Composed:
    """Return the statement that lowers the fence."""
    return sql.SQL(FUNCTION_DOWN).format(schema=sql.Identifier(names.schema))


@contextmanager
def lifted(session: WriteSession, names: Names) -> Iterator[None]:
    """Let the caller's transaction write to every table; nobody else ever sees the fence down.

    What it has refused so far still counts.
    """
    if not is_up(session, names):
        yield
        return
    lower(session, names)
    yield
    session.run(raising(names, anew=False))


def passing(session: ReadSession, names: Names) -> tuple[str, str]:
    """Return what a script does first and last in its transaction so that the fence lets it through."""
    if not is_up(session, names):
        return "", ""
    first, last = lowering(names).as_string(), raising(names, anew=False).as_string()
    return f"{first.strip()};\n", f"{last.strip()};\n"


def refused(session: ReadSession, names: Names) -> int:
    """Return how many writes were refused since the fence was raised; a crash may add some dozens.

    Those that the read-only default refuses come to no trigger, and are not counted.
    """
    rows = Registry(session, names).rows(REFUSED)
    return int(rows[0].count) if rows else 0


def set_read_only(session: WriteSession, database: str, *, on: bool) -> None:
    """Set or reset the database's read-only default, within the caller's transaction."""
    session.run(read_only(database, on=on))


def read_only(database: str, *, on: bool) -> sql.Composed:
    """Return the statement that sets or resets the database's read-only default."""
    return sql.SQL(READ_ONLY if on else READ_WRITE).format(database=sql.Identifier(database))


def drop(ctx: WriteContext, session: WriteSession) -> None:
    """Drop the fence triggers, a table at a time, and lift nothing else."""
    with session.bounded(ctx.config.copy.lock_timeout):
        for table, statement in dropping(session, ctx.names):
            patiently(
                partial(session.run, statement),
                ctx.sleep,
                what=f"dropping the fence trigger of {table.label}",
                attempts=ctx.config.copy.lock_attempts,
                explain=partial(name_holders, session, ctx.names, [table.oid], readers=True),
            )


def dropping(session: ReadSession, names: Names) -> list[tuple[Table, sql.Composed]]:
    """Return the statement that drops the fence trigger of each table that has one of ours."""
    trigger = sql.Identifier(names.fence)
    have = standing(session, names)
    return [
        (table, sql.SQL(DROP).format(trigger=trigger, table=table.identifier))
        for table in all_tables(session)
        if table.oid in have
    ]
