"""Prove that the stream has delivered everything: a token goes through it and is seen to arrive.

Logical replication applies transactions in the order of their commits (documentation 29.4), so when
the destination shows the token, everything committed before it is applied. Neither the slot's
``confirmed_flush_lsn`` (up to a second late) nor ``received_lsn`` (received is not applied) says that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.errors import TimedOut
from migrator.pg.registry import Registry, WritableRegistry

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext

BEAT = """
update {schema}.heartbeat
set token = token + 1, at = clock_timestamp()
where id = 1
returning token
"""
TOKEN = """
select token, extract(epoch from clock_timestamp() - at)::float8 as age
from {schema}.heartbeat
where id = 1
"""


def beat(ctx: WriteContext) -> int:
    """Commit a new token on the source and return it."""
    query = WritableRegistry(ctx.write_source, ctx.names).query(BEAT)
    return int(ctx.write_source.value(query))


def arrived(ctx: ReadContext) -> int:
    """Return the newest token that the destination has applied."""
    row = ctx.destination.row(Registry(ctx.destination, ctx.names).query(TOKEN))
    return int(row.token) if row else -1


def source_token(ctx: ReadContext) -> tuple[int, float]:
    """Return the source's token and its age in seconds."""
    row = ctx.source.row(Registry(ctx.source, ctx.names).query(TOKEN))
    return (int(row.token), float(row.age)) if row else (-1, 0.0)


class RoundTrip(NamedTuple):
    """A token that arrived, and the seconds it took: the stream's lag."""

    token: int
    seconds: float


def round_trip(ctx: WriteContext, *, timeout: float, interval: float = 0.001) -> RoundTrip:
    """Send a token and wait until the destination shows it.

    Raises TimedOut after ``timeout`` seconds, naming what the stream shows.
    """
    started = ctx.now()
    token = beat(ctx)
    while arrived(ctx) < token:
        if ctx.now() - started > timeout:
            raise TimedOut(
                f"the stream did not deliver token {token} within {timeout:g} s; "
                f"the destination is at {arrived(ctx)}",
                hint="migrator status; look at the destination's server log for the apply worker",
                token=token,
            )
        ctx.sleep(interval)
    return RoundTrip(token, ctx.now() - started)
