"""Subscribe the destination to the source, from the snapshot on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.copy.copied import whole
from migrator.copy.snapshot import find_slots
from migrator.errors import StepFailed
from migrator.pg import publication
from migrator.pg.registry import WritableRegistry
from migrator.step import Absent, Conflict, Done, Found, Partial, Statement, Step
from migrator.switchover import streams, subscribing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.names import Stream
    from migrator.pg.session import WriteSession

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

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the subscriptions that are missing; the password that they may hold is not told."""
        for stream in self._missing(ctx, streams.find_subscriptions(ctx)):
            for statement in subscribing.creation(ctx, stream, masked=True):
                yield Statement("destination", statement.as_string())

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Create and mark the subscriptions in one transaction, then start them."""
        session = ctx.write_destination
        missing = self._missing(ctx, streams.find_subscriptions(ctx))
        if missing:
            with session.transaction():
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
        subscribing.create(ctx, session, stream)
        self._continue_later_tables(ctx, session, stream)
        if position is not None:
            session.execute(ORIGIN, [position["position"], stream.subscription])
            registry.forget(stream.event(streams.POSITION_EVENT))

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
