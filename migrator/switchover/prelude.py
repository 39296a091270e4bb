"""What keeps writers out before the fence's locks: committed by itself, and undone when the hand-over is.

A record in the journal of the side that gives its writes away says so from before anything is done. It names
the switchover's number. As long as no cutover of that number is committed there, it is to be undone, by
whoever comes first: the run itself, its watchdog, the next run. Each undoes in one transaction of the server
that looks again, so that none undoes what was committed meanwhile.

A role may have a read-only default of its own, which outranks the database's (documentation 19.1.3): it is
overridden for the role in this database, and the record holds what was there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.pg.registry import Registry
from migrator.switchover import fence
from migrator.switchover.records import CUTOVER

if TYPE_CHECKING:
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession, WriteSession

FENCING = "fencing"
IS_RECORDED = "select true from {schema}.journal where event = 'fencing'"

# Whose own default lets them write here; who may alter a role is said in user.c (AlterRoleSet).
OVERRIDING = """
with own as (
    select s.setrole, s.setdatabase, substr(c.setting, strpos(c.setting, '=') + 1) as value
    from pg_catalog.pg_db_role_setting s
    cross join lateral unnest(s.setconfig) as c (setting)
    where split_part(c.setting, '=', 1) = 'default_transaction_read_only'
)
select r.oid::bigint as oid,
       r.rolname::text as role,
       here.value as before,
       me.rolsuper or not r.rolsuper and (
           r.oid = me.oid
           or me.rolcreaterole and (
               current_setting('server_version_num')::int < 160000
               or pg_catalog.pg_has_role(me.oid, r.oid, 'member with admin option')
           )
       ) as alterable
from pg_catalog.pg_roles r
join pg_catalog.pg_roles me on me.rolname = current_user
left join own here on here.setrole = r.oid
                   and here.setdatabase = (
                       select oid from pg_catalog.pg_database where datname = current_database()
                   )
left join own everywhere on everywhere.setrole = r.oid and everywhere.setdatabase = 0
where not coalesce(here.value, everywhere.value)::bool
order by 2
"""
HOLD = "alter role {role} in database {database} set default_transaction_read_only = on"
RESET = "alter role {role} in database {database} reset default_transaction_read_only"
SET = "alter role {role} in database {database} set default_transaction_read_only = {before}"

# A role may have got another name since, or be gone.
RESTORE = """
    for own in
        select r.rolname as role, k.before
        from pg_catalog.jsonb_to_recordset(kept -> 'roles') as k (oid bigint, before text)
        join pg_catalog.pg_roles r on r.oid::bigint = k.oid
    loop
        execute pg_catalog.format('alter role %I in database %I ', own.role, current_database())
            || coalesce('set default_transaction_read_only = ' || pg_catalog.quote_literal(own.before),
                        'reset default_transaction_read_only');
    end loop;
"""
BLOCK = """
declare
    kept jsonb;
    own record;
begin
    if pg_catalog.to_regclass({journal}) is null then
        return;
    end if;
{forget}
{restore}
end
"""
RESTORING = """
    delete from {schema}.journal
    where event = 'fencing' and detail ->> 'kind' = 'read_only'
    returning detail into kept;
"""
# A transaction that is about to commit its cutover has written it here, and is waited for.
RELEASING = """
    perform pg_catalog.set_config('lock_timeout', '4s', true);
    lock table {schema}.journal in share row exclusive mode;
    delete from {schema}.journal f
    where f.event = 'fencing'
      and f.detail ->> 'token' = {token}
      and not exists (
          select
          from {schema}.journal c
          where c.event = 'cutover' and c.detail -> 'number' = f.detail -> 'number'
      )
    returning f.detail into kept;
    if kept is null then
        return;
    end if;
    {lowering};
    execute pg_catalog.format('alter database %I reset default_transaction_read_only', current_database());
"""


def overriding(session: ReadSession) -> list[Any]:
    """Return the roles whose own default lets them write to this database, and whether we may alter each."""
    return session.rows(OVERRIDING)


def hold_roles(session: WriteSession, database: str) -> list[dict[str, Any]]:
    """Make those roles read-only by default, too; return what they had, as the record keeps it."""
    found = overriding(session)
    for row in found:
        names = {"role": sql.Identifier(row.role), "database": sql.Identifier(database)}
        session.run(sql.SQL(HOLD).format(**names))
    return [{"oid": row.oid, "role": row.role, "before": row.before} for row in found]


def record(number: int, kind: str, token: str, roles: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what the journal is to hold; the ``token`` is that of this try alone."""
    return {"number": number, "kind": kind, "token": token, "roles": roles}


def left(session: ReadSession, names: Names) -> dict[str, Any] | None:
    """Return the record of a side whose writers are kept out without a cutover that is committed, or None."""
    found = Registry(session, names).read_some([FENCING, CUTOVER])
    kept = found.get(FENCING)
    if kept is None or found.get(CUTOVER, {}).get("number") == kept["number"]:
        return None
    return kept


def is_recorded(names: Names) -> sql.Composed:
    """Return the query that finds a row where there is a record."""
    return sql.SQL(IS_RECORDED).format(schema=sql.Identifier(names.schema))


def before(session: ReadSession, names: Names) -> dict[str, str | None]:
    """Return what the roles that are held on that side had, None for no setting of their own here."""
    kept = Registry(session, names).read(FENCING) or {"roles": []}
    return {role["role"]: role["before"] for role in kept["roles"]}


def releasing(names: Names, token: str) -> sql.Composed:
    """Return the statement that undoes what the try of that token has done to the database.

    It does nothing where its cutover is committed, or its record is gone.
    """
    return _block(RELEASING, names, token=sql.Literal(token), lowering=fence.lowering(names))


def restoring(names: Names) -> sql.Composed:
    """Return the statement that gives held roles back what they had: their side takes writes again."""
    return _block(RESTORING, names)


def restoring_by_hand(session: ReadSession, names: Names, database: str) -> list[str]:
    """Return the same as statements for the operator to type."""
    return [
        sql.SQL(RESET if value is None else SET)
        .format(role=sql.Identifier(role), database=sql.Identifier(database), before=sql.Literal(value))
        .as_string(None)
        for role, value in before(session, names).items()
    ]


def _block(text: str, names: Names, **parts: sql.Composable) -> sql.Composed:
    journal = sql.Identifier(names.schema, "journal").as_string(None)
    body = sql.SQL(BLOCK).format(
        journal=sql.Literal(journal),
        forget=sql.SQL(text).format(schema=sql.Identifier(names.schema), **parts),
        restore=sql.SQL(RESTORE),
    )
    return sql.SQL("do {}").format(sql.Literal(body.as_string(None)))
