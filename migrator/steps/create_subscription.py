"""Subscribe the destination to the source, from the snapshot on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.copy.copied import whole
from migrator.copy.snapshot import find_slot
from migrator.errors import StepFailed
from migrator.pg.catalog import published_tables
from migrator.pg.registry import WritableRegistry
from migrator.pg.session import shown
from migrator.pg.versions import Feature
from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import ReadSession, WriteSession

# The statement holds the source's password: it is to be in no server log.
UNLOGGED = (
    ("log_statement", "none"),
    ("log_min_error_statement", "panic"),
    ("log_min_duration_statement", "-1"),
    ("pg_stat_statements.track_utility", "off"),
)
# Values travel as text; a destination of 15 and newer tells the source so by itself.
PLAIN_TEXT = "-c datestyle=ISO -c intervalstyle=postgres -c extra_float_digits=3"
CREATE = "create subscription {name} connection {conninfo} publication {publication} with ({options})"
MARK = "comment on subscription {name} is {mark}"
SUBSCRIBED = """
select count(*)
from pg_catalog.pg_subscription_rel r
join pg_catalog.pg_subscription s on s.oid = r.srsubid
where s.subname = %s
"""
# PostgreSQL's own state of a table that was copied at a position of its own (documentation 52.55): the
# stream carries what was committed from there on, and the worker makes it "ready" when it is past that.
CONTINUE_AT = """
update pg_catalog.pg_subscription_rel r
set srsubstate = 's',
    srsublsn = t.position
from unnest(%s::text[], %s::text[], %s::pg_lsn[]) as t (schema, name, position)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
where r.srrelid = c.oid
  and r.srsubid = (select oid from pg_catalog.pg_subscription where subname = %s)
"""
ORIGIN = """
select pg_catalog.pg_replication_origin_advance('pg_' || oid, %s::pg_lsn)
from pg_catalog.pg_subscription
where subname = %s
"""

# Options and the versions that have them: (feature, side that must have it) → option. Not
# disable_on_error: a lost connection is an error to it, so that a restart of the source would stop the
# stream for good, and the source would keep WAL until somebody came.
OPTIONS: tuple[tuple[str, Feature, tuple[str, ...]], ...] = (
    ("streaming = on", Feature.STREAM_IN_PROGRESS, ("source", "destination")),
    ("run_as_owner = true", Feature.RUN_AS_OWNER, ("destination",)),
)


class CreateSubscription(Step):
    """Subscribe the destination to the source, from the snapshot on.

    Changes: creates subscription ``migrator_…`` on the destination, on our slot, without copying; the
    stream begins exactly where the copied snapshot ends, for each table that was copied from a later
    snapshot where that one ends.
    Recognised by: a subscription of our name with our mark, enabled, all its tables ready.
    Locks and cost: a connection from the destination to the source; applying the changes made since
    the snapshot.
    If it fails: nothing is there, or it is there and disabled; run the same command again.
    Undo: stops the stream and drops the subscription; the slot stays, and where the stream stood is
    remembered, so that the next subscription applies nothing twice.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the subscription, its mark and the state of its tables."""
        found = streams.find_subscription(ctx)
        if found is None:
            return Absent()
        if not found.ours:
            return Conflict(
                f"the destination has a subscription {ctx.names.subscription} without our mark",
                "rename or drop it, or give the migration another name",
            )
        if not found.enabled:
            return Partial("the subscription is disabled")
        if found.unready:
            return Partial(f"{found.unready} of {found.tables} tables are not ready")
        return Done({"tables": found.tables})

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create and mark the subscription in one transaction, then start it."""
        session = ctx.write_destination
        if isinstance(found, Absent):
            registry = WritableRegistry(session, ctx.names)
            position = registry.read(streams.POSITION_EVENT)
            name = sql.Identifier(ctx.names.subscription)
            with session.transaction():
                for name_, value in UNLOGGED:
                    session.execute("select set_config(%s, %s, true)", [name_, value])
                session.run(
                    sql.SQL(CREATE).format(
                        name=name,
                        conninfo=source_conninfo(ctx),
                        publication=sql.Identifier(ctx.names.publication),
                        options=self._options(ctx),
                    )
                )
                session.run(sql.SQL(MARK).format(name=name, mark=ctx.names.mark))
                self._require_all_tables(ctx, session)
                self._continue_later_tables(ctx, session)
                if position is not None:
                    session.execute(ORIGIN, [position["position"], ctx.names.subscription])
                    registry.forget(streams.POSITION_EVENT)
        streams.enable(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Stop and drop the stream, and keep its slot."""
        streams.drop(ctx)
        streams.drop_left_origin(ctx)

    def _require_all_tables(self, ctx: ReadContext, session: ReadSession) -> None:
        # A conninfo that leads elsewhere (localhost, seen from the destination) finds other tables.
        published = len(published_tables(ctx.source, ctx.names, sizes=False)) + 1
        subscribed = session.value(SUBSCRIBED, [ctx.names.subscription])
        if subscribed != published:
            raise StepFailed(
                f"the destination finds {subscribed} tables at {source_address(ctx)} where the source "
                f"publishes {published}: that address leads it to another server",
                hint="set [replication] source_conninfo to how the destination reaches the source",
            )

    def _continue_later_tables(self, ctx: ReadContext, session: WriteSession) -> None:
        # Tables copied from a later snapshot than the slot's hold what the stream still has to bring of
        # the time between; it is to skip that.
        slot = find_slot(ctx)
        if slot is None:
            raise StepFailed(
                "the slot is gone that the stream needs", hint="migrator rollback-to schema_copied"
            )
        later = {
            table: copied.position
            for table, copied in whole(ctx, slot.created_at).items()
            if copied.position != slot.created_at
        }
        if later:
            schemas, names = zip(*later, strict=True)
            session.execute(
                CONTINUE_AT,
                [list(schemas), list(names), list(later.values()), ctx.names.subscription],
            )

    def _options(self, ctx: ReadContext) -> sql.Composable:
        servers = {"source": ctx.source_server, "destination": ctx.destination_server}
        chosen = [
            sql.SQL(option)
            for option, feature, sides in OPTIONS
            if all(servers[side].has(feature) for side in sides)
        ]
        return sql.SQL(", ").join(
            [
                sql.SQL("create_slot = false, copy_data = false, enabled = false"),
                sql.SQL("slot_name = {}").format(ctx.names.slot),
                *chosen,
            ]
        )


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


def source_address(ctx: ReadContext) -> str:
    """Return where the destination looks for the source, for people."""
    return shown(source_conninfo(ctx))
