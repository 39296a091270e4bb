"""Subscribe the destination to the source, from the snapshot on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.copy.copied import whole
from migrator.copy.snapshot import find_slots
from migrator.errors import StepFailed
from migrator.pg import publication
from migrator.pg.registry import WritableRegistry
from migrator.pg.session import shown
from migrator.pg.versions import Feature
from migrator.step import Absent, Conflict, Done, Found, Partial, Step
from migrator.switchover import streams

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext
    from migrator.pg.names import Stream
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


class CreateSubscription(Step):
    """Subscribe the destination to the source, from the snapshot on.

    Changes: creates subscription ``migrator_…`` on the destination, on our slot, without copying; the
    stream begins exactly where the copied snapshot ends, for each table that was copied from a later
    snapshot where that one ends. One for each publication, on its slot, if there are several.
    Recognised by: a subscription of our name with our mark, enabled, all its tables ready, for each
    publication.
    Locks and cost: a connection from the destination to the source; applying the changes made since
    the snapshot.
    If it fails: nothing is there, or it is there and disabled; run the same command again.
    Undo: stops the stream and drops the subscription; the slot stays, and where the stream stood is
    remembered, so that the next subscription applies nothing twice.
    """

    def probe(self, ctx: ReadContext) -> Found:
        """Look for the subscription, its mark and the state of its tables."""
        found = streams.find_subscriptions(ctx)
        theirs = streams.unmarked(found)
        if theirs:
            return Conflict(
                f"the destination has a subscription {theirs} without our mark",
                "rename or drop it, or give the migration another name",
            )
        if not found:
            return Absent()
        missing = self._missing(ctx, found)
        if missing:
            return Partial(f"{len(missing)} of {len(missing) + len(found)} subscriptions are missing")
        if not all(s.enabled for s in found):
            return Partial("the subscription is disabled")
        tables, unready = sum(s.tables for s in found), sum(s.unready for s in found)
        if unready:
            return Partial(f"{unready} of {tables} tables are not ready")
        return Done({"tables": tables} | ({"streams": len(found)} if len(found) > 1 else {}))

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create and mark the subscriptions in one transaction, then start them."""
        session = ctx.write_destination
        missing = self._missing(ctx, streams.find_subscriptions(ctx))
        if missing:
            with session.transaction():
                for name, value in UNLOGGED:
                    session.execute("select set_config(%s, %s, true)", [name, value])
                for stream in missing:
                    self._create(ctx, session, stream)
        streams.enable(ctx)

    def undo(self, ctx: WriteContext) -> None:
        """Stop and drop the streams, and keep their slots."""
        streams.drop(ctx)
        streams.drop_left_origins(ctx)

    def _missing(self, ctx: ReadContext, found: list[streams.Subscription]) -> list[Stream]:
        there = {s.stream for s in found}
        return [s for s in publication.published_streams(ctx.source, ctx.names) if s not in there]

    def _create(self, ctx: WriteContext, session: WriteSession, stream: Stream) -> None:
        registry = WritableRegistry(session, ctx.names)
        position = registry.read(stream.event(streams.POSITION_EVENT))
        name = sql.Identifier(stream.subscription)
        session.run(
            sql.SQL(CREATE).format(
                name=name,
                conninfo=source_conninfo(ctx),
                publication=sql.Identifier(stream.publication),
                options=self._options(ctx, stream),
            )
        )
        session.run(sql.SQL(MARK).format(name=name, mark=ctx.names.mark))
        self._require_all_tables(ctx, session, stream)
        self._continue_later_tables(ctx, session, stream)
        if position is not None:
            session.execute(ORIGIN, [position["position"], stream.subscription])
            registry.forget(stream.event(streams.POSITION_EVENT))

    def _require_all_tables(self, ctx: ReadContext, session: ReadSession, stream: Stream) -> None:
        # A conninfo that leads elsewhere (localhost, seen from the destination) finds other tables.
        carried = publication.carried_by(ctx.source, ctx.names)
        published = sum(number == stream.number for number in carried.values())
        subscribed = session.value(SUBSCRIBED, [stream.subscription])
        if subscribed != published:
            raise StepFailed(
                f"the destination finds {subscribed} tables at {source_address(ctx)} where the source "
                f"publishes {published}: that address leads it to another server",
                hint="set [replication] source_conninfo to how the destination reaches the source",
            )

    def _continue_later_tables(self, ctx: ReadContext, session: WriteSession, stream: Stream) -> None:
        # Tables copied from a later snapshot than the slot's hold what the stream still has to bring of
        # the time between; it is to skip that.
        slots = {slot.stream: slot for slot in find_slots(ctx)}
        slot, first = slots.get(stream), slots.get(ctx.names.stream(1))
        if slot is None or first is None:
            raise StepFailed(
                "the slot is gone that the stream needs", hint="migrator rollback-to schema_copied"
            )
        later = {
            table: copied.position
            for table, copied in whole(ctx, first.created_at).items()
            if copied.position != slot.created_at
        }
        if later:
            schemas, names = zip(*later, strict=True)
            session.execute(
                CONTINUE_AT,
                [list(schemas), list(names), list(later.values()), stream.subscription],
            )

    def _options(self, ctx: ReadContext, stream: Stream) -> sql.Composable:
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
