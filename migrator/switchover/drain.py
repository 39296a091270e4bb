"""Prove that the streams have delivered everything: a token goes through each and is seen to arrive.

Logical replication applies transactions in the order of their commits (documentation 29.4), so when
the destination shows a stream's token, everything of that stream committed before it is applied. Neither
the slot's ``confirmed_flush_lsn`` (up to a second late) nor ``received_lsn`` (received is not applied)
says that. All tokens are sent by one statement and looked for by one query, however many streams there are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.errors import StepFailed, TimedOut
from migrator.pg.registry import Registry, WritableRegistry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from migrator.context import ReadContext, WriteContext

# The streams that there are, by their publications: the parts of the heartbeat that somebody carries.
BEAT = """
update {schema}.heartbeat h
set token = h.token + 1, at = clock_timestamp()
from unnest(%s::int[], %s::text[]) as s (number, publication)
join pg_catalog.pg_publication p on p.pubname = s.publication
where h.id = s.number
  and pg_catalog.obj_description(p.oid, 'pg_publication') = {mark}
returning h.id::text as stream, h.token
"""
SENT = """
select h.id::text as stream, h.token, extract(epoch from clock_timestamp() - h.at)::float8 as age
from unnest(%s::int[], %s::text[]) as s (number, publication)
join pg_catalog.pg_publication p on p.pubname = s.publication
join {schema}.heartbeat h on h.id = s.number
where pg_catalog.obj_description(p.oid, 'pg_publication') = {mark}
"""
ARRIVED = "select id::text as stream, token from {schema}.heartbeat"

# By the stream's number, as text: so they are kept in the journal.
Tokens = dict[str, int]


def beat(ctx: WriteContext) -> Tokens:
    """Commit a new token for every stream on the source and return them."""
    registry = WritableRegistry(ctx.write_source, ctx.names)
    rows = ctx.write_source.rows(registry.query(BEAT), _streams(ctx))
    if not rows:
        raise StepFailed("the source has no publication of ours", hint="migrator status")
    return {row.stream: row.token for row in rows}


def missing(ctx: ReadContext, tokens: Mapping[str, int]) -> list[str]:
    """Name the streams whose token the destination has not applied yet."""
    registry = Registry(ctx.destination, ctx.names)
    here = {row.stream: row.token for row in ctx.destination.rows(registry.query(ARRIVED))}
    return [
        str(ctx.names.stream(int(stream)))
        for stream, token in sorted(tokens.items(), key=lambda sent: int(sent[0]))
        if here.get(stream, -1) < token
    ]


def proven(ctx: ReadContext, within: float) -> Tokens | None:
    """Return the newest tokens when the destination shows them and none is older than ``within`` seconds."""
    sent = ctx.source.rows(Registry(ctx.source, ctx.names).query(SENT), _streams(ctx))
    tokens = {row.stream: row.token for row in sent}
    fresh = bool(sent) and all(row.token > 0 and row.age < within for row in sent)
    return tokens if fresh and not missing(ctx, tokens) else None


class RoundTrip(NamedTuple):
    """The tokens that arrived, and the seconds that the slowest took: the streams' lag."""

    tokens: Tokens
    seconds: float


def round_trip(ctx: WriteContext, *, timeout: float, interval: float = 0.001) -> RoundTrip:
    """Send a token through every stream and wait until the destination shows them all.

    Raises TimedOut after ``timeout`` seconds, naming the streams that did not deliver.
    """
    started = ctx.now()
    tokens = beat(ctx)
    wait_for(ctx, tokens, timeout=timeout, interval=interval)
    return RoundTrip(tokens, ctx.now() - started)


def wait_for(ctx: ReadContext, tokens: Tokens, *, timeout: float, interval: float = 0.001) -> None:
    """Wait until the destination shows the tokens.

    Raises TimedOut after ``timeout`` seconds, naming the streams that did not deliver.
    """
    started = ctx.now()
    while late := missing(ctx, tokens):
        if ctx.now() - started > timeout:
            raise TimedOut(
                f"the stream did not deliver its token within {timeout:g} s: {', '.join(late)}",
                hint="migrator status; look at the destination's server log for the apply worker",
                tokens=tokens,
                streams=late,
            )
        ctx.sleep(interval)


def _streams(ctx: ReadContext) -> list[object]:
    return [[s.number for s in ctx.names.streams], [s.publication for s in ctx.names.streams]]
