"""Create a subscription of ours on the destination, to our publication on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.errors import ConnectionLost, StepFailed, TimedOut
from migrator.pg import publication
from migrator.pg.conninfo import impatient
from migrator.pg.redact import HIDDEN
from migrator.pg.session import shown
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.pg.names import Stream
    from migrator.pg.session import ReadSession, WriteSession

# The statement holds the source's password: it is to be in no server log.
UNLOGGED = (
    ("log_statement", "none"),
    ("log_min_error_statement", "panic"),
    ("log_min_duration_statement", "-1"),
    ("pg_stat_statements.track_utility", "off"),
    ("pgaudit.log", "none"),
)
# Values travel as text; a destination of 15 and newer tells the source so by itself.
PLAIN_TEXT = "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3"
CREATE = "create subscription {name} connection {conninfo} publication {publication} with ({options})"
# Connects as the worker will, with the replication protocol, and finds no publication to ask for tables.
TRY = CREATE.replace("{options}", "create_slot = false, copy_data = false, enabled = false, slot_name = none")
MARK = "comment on subscription {name} is {mark}"
SUBSCRIBED = """
select n.nspname as schema, c.relname as name
from pg_catalog.pg_subscription s
join pg_catalog.pg_subscription_rel r on r.srsubid = s.oid
join pg_catalog.pg_class c on c.oid = r.srrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where s.subname = any (%s)
"""
# As ``refresh publication (copy_data = false)`` does, which a disabled subscription refuses.
UNSUBSCRIBE = """
delete from pg_catalog.pg_subscription_rel r
where r.srsubid = (select oid from pg_catalog.pg_subscription where subname = %s)
"""
SUBSCRIBE = """
insert into pg_catalog.pg_subscription_rel (srsubid, srrelid, srsubstate, srsublsn)
select s.oid, c.oid, 'r', null
from unnest(%s::text[], %s::text[]) as t (schema, name)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
cross join pg_catalog.pg_subscription s
where s.subname = %s
"""
# Options, their values, and what must have the feature that they need; the last that is to be had counts.
# A transaction that is streamed while it goes on is kept in a file until its commit, or applied at once by
# a worker of its own, whose commit waits its turn (documentation 29.8.2; a free worker there provided).
# Not disable_on_error: a lost connection is an error to it, so that a restart of the source would stop the
# stream for good, and the source would keep WAL until somebody came.
OPTIONS: tuple[tuple[str, str, Feature, tuple[str, ...]], ...] = (
    ("streaming", "on", Feature.STREAM_IN_PROGRESS, ("source", "destination")),
    ("streaming", "parallel", Feature.PARALLEL_STREAM, ("source", "destination")),
    ("run_as_owner", "true", Feature.RUN_AS_OWNER, ("destination",)),
)


def create(ctx: ReadContext, session: WriteSession, stream: Stream) -> None:
    """Create and mark a disabled subscription on the stream's slot, in the caller's transaction.

    Raises StepFailed when the destination is led to another server than we are.
    """
    for setting, value in UNLOGGED:
        session.execute("select set_config(%s, %s, true)", [setting, value])
    for statement in creation(ctx, stream):
        session.run(statement)
    # A conninfo that leads elsewhere (localhost, seen from the destination) finds other tables.
    carried = publication.carried_by(ctx.source, ctx.names)
    published = sum(number == stream.number for number in carried.values())
    found = len(subscribed(session, stream))
    if found != published:
        raise StepFailed(
            f"the {session.side} finds {found} tables at {shown(source_conninfo(ctx))} where the "
            f"{ctx.source.side} publishes {published}: that address leads it to another server",
            hint=f"set [replication] {ctx.source.side}_conninfo to how the {session.side} reaches "
            f"the {ctx.source.side}",
        )


def creation(ctx: ReadContext, stream: Stream, *, masked: bool = False) -> list[sql.Composed]:
    """Return the statements that create and mark a subscription; the first may hold a password.

    ``masked`` puts stars in its place, to be shown.
    """
    conninfo = source_conninfo(ctx)
    if masked:
        secrets = conninfo_to_dict(conninfo).keys() & {"password", "sslpassword"}
        conninfo = make_conninfo(conninfo, **dict.fromkeys(secrets, HIDDEN))
    name = sql.Identifier(stream.subscription)
    return [
        sql.SQL(CREATE).format(
            name=name,
            conninfo=conninfo,
            publication=sql.Identifier(stream.publication),
            options=_options(ctx, stream),
        ),
        sql.SQL(MARK).format(name=name, mark=ctx.names.mark),
    ]


def try_to_connect(ctx: ReadContext, session: WriteSession, seconds: float) -> str:
    """Have the destination's server connect to the source as the stream's worker will.

    Return why it cannot, as it says, or nothing. The ``session`` must be one that never commits.
    """
    # It is told that there is no such publication, which is nobody's trouble.
    quiet = (("statement_timeout", str(int(seconds * 1000))), ("log_min_messages", "fatal"))
    for setting, value in (*UNLOGGED, *quiet):
        session.execute("select set_config(%s, %s, true)", [setting, value])
    statement = sql.SQL(TRY).format(
        name=sql.Identifier(f"{ctx.names.subscription}_trial"),
        conninfo=impatient(source_conninfo(ctx), seconds),
        publication=sql.Identifier(f"{ctx.names.publication}_trial"),
    )
    try:
        session.run(statement)
    except TimedOut:
        return f"no answer within {seconds:g} s"
    except ConnectionLost as error:
        # Class 08 is said of the server's connection too; ours is lost when it is closed.
        if not session.is_open:
            raise
        return " ".join(error.message.partition("the connection was lost: ")[2].split())
    return ""


def worker_parameters(ctx: ReadContext) -> dict[str, str]:
    """Return what the destination's worker connects with, by libpq's names, and ``***`` for a password."""
    parts = {name: str(value) for name, value in conninfo_to_dict(source_conninfo(ctx)).items()}
    return parts | ({"password": HIDDEN} if parts.get("password") else {})


def refresh(ctx: ReadContext, session: WriteSession, stream: Stream) -> None:
    """Have a disabled subscription hold the tables that are published now, all of them ready."""
    tables = sorted(publication.listed(ctx.source, stream))
    with session.transaction():
        session.run(UNSUBSCRIBE, [stream.subscription])
        session.run(SUBSCRIBE, [[t[0] for t in tables], [t[1] for t in tables], stream.subscription])


def subscribed(session: ReadSession, *streams: Stream) -> set[tuple[str, str]]:
    """Return the tables that the streams' subscriptions hold, by schema and name."""
    rows = session.rows(SUBSCRIBED, [[stream.subscription for stream in streams]])
    return {(row.schema, row.name) for row in rows}


def source_conninfo(ctx: ReadContext) -> str:
    """Return how the destination reaches the source: ``[replication] source_conninfo``, or our own way.

    Raises nothing; a path that does not work is told by CREATE SUBSCRIPTION, which connects.
    """
    if ctx.config.replication.source_conninfo:
        return ctx.config.replication.source_conninfo
    parts = conninfo_to_dict(ctx.source_server.conninfo)
    for ours_only in ("options", "application_name", "passfile", "service", "target_session_attrs"):
        parts.pop(ours_only, None)
    info = ctx.source.connection.info
    return make_conninfo(
        "",
        **{
            **parts,
            "host": info.host,
            "port": info.port,
            "user": info.user,
            "dbname": info.dbname,
            "options": PLAIN_TEXT,
        },
    )


def _options(ctx: ReadContext, stream: Stream) -> sql.Composable:
    servers = {"source": ctx.source_server, "destination": ctx.destination_server}
    chosen = {
        name: value
        for name, value, feature, sides in OPTIONS
        if all(servers[side].has(feature) for side in sides)
    }
    return sql.SQL(", ").join(
        [
            sql.SQL("create_slot = false, copy_data = false, enabled = false"),
            sql.SQL("slot_name = {}").format(stream.slot),
            *(sql.SQL(f"{name} = {value}") for name, value in chosen.items()),
        ]
    )
