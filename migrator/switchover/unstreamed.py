"""What the stream does not carry: unlogged tables and large objects, where ``[tables]`` says to copy them.

They are copied while writes go on, and again while the fence holds them back: the tables as a whole, of the
large objects those that have changed. Large objects have no trigger: the fence locks the two catalogs that
they are in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.context import FORWARD
from migrator.copy import large_objects, unlogged
from migrator.pg.catalog import Table, all_tables
from migrator.pg.registry import Registry, WritableRegistry
from migrator.switchover import fence

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.session import ReadSession, WriteSession

# A writer, and a reader as well, locks the one in ``row exclusive`` mode until its end; who makes or
# removes an object, the other (inv_api.c, pg_largeobject.c).
CATALOGS = (
    Table(2613, "pg_catalog", "pg_largeobject"),
    Table(2995, "pg_catalog", "pg_largeobject_metadata"),
)
# Whoever still waits for the catalogs would write into a source that has moved.
END_WAITING = """
select pg_catalog.pg_terminate_backend(l.pid)
from pg_catalog.pg_locks l
where not l.granted
  and l.locktype = 'relation'
  and l.relation = any (%s)
  and l.database = (select oid from pg_catalog.pg_database where datname = current_database())
"""
TRANSACTION = "select pg_catalog.txid_current()"
LATE = """
select m.oid
from pg_catalog.pg_largeobject_metadata m
where pg_catalog.age(m.xmin) < pg_catalog.age((%(since)s::bigint & 4294967295)::text::xid)
   or exists (
       select
       from pg_catalog.pg_largeobject l
       where l.loid = m.oid
         and pg_catalog.age(l.xmin) < pg_catalog.age((%(since)s::bigint & 4294967295)::text::xid)
   )
order by m.oid
limit 10
"""


def copies_large_objects(ctx: ReadContext) -> bool:
    """Return whether large objects are to be copied."""
    return ctx.roles == FORWARD and ctx.config.tables.large_objects == "copy"


def not_carried_back(ctx: ReadContext) -> list[str]:
    """Return, for people, what was copied on the way forward and is not on the way back.

    The source's own tables are not emptied, and of its large objects nobody knows which are ours.
    """
    found = [f"unlogged table {t.label}" for t in unlogged.wanted(ctx)]
    return [*found, "large objects"] if ctx.config.tables.large_objects == "copy" else found


def to_lock(ctx: ReadContext) -> list[Table]:
    """Return what the fence locks besides the user's tables."""
    return list(CATALOGS) if copies_large_objects(ctx) else []


def not_in(ctx: ReadContext) -> list[str]:
    """Return, for people, what is to be copied and was never copied as a whole."""
    if ctx.roles != FORWARD:
        return []
    return _told(ctx, unlogged.missing(ctx))


def to_copy(ctx: ReadContext) -> list[str]:
    """Return what of it can be copied now: a table that was made since is not on the destination yet."""
    return _told(ctx, unlogged.to_copy(ctx))


def _told(ctx: ReadContext, tables: list[Table]) -> list[str]:
    found = [f"unlogged table {t.label}" for t in tables]
    registry = Registry(ctx.destination, ctx.names)
    if copies_large_objects(ctx) and large_objects.record(registry) is None:
        found.append("the large objects")
    return found


def copy_tables(
    ctx: WriteContext, source: ReadSession, tables: list[Table], sent: Callable[[int], None]
) -> None:
    """Copy unlogged tables, in one transaction that alone passes the destination's fence."""
    if not tables:
        return
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    standing = {(t.schema, t.name): t for t in all_tables(ctx.destination)}
    pairs = [(t, standing[t.schema, t.name]) for t in tables]
    with ctx.write_destination.transaction(), fence.lifted(ctx.write_destination, ctx.names):
        unlogged.copy_rows(source, registry, pairs, ctx.now, sent)


def copy_objects(ctx: WriteContext, source: ReadSession, sent: Callable[[int], None]) -> None:
    """Make a pass over the large objects, where they are to be copied."""
    if copies_large_objects(ctx):
        registry = WritableRegistry(ctx.write_destination, ctx.names)
        large_objects.converge(source, registry, ctx.now, sent)


def copy_again(ctx: WriteContext, held: WriteSession, sent: Callable[[int], None]) -> dict[str, Any]:
    """Copy all of it once more through the fence's own session; return what the cutover records of it.

    ``sent`` raises when the pause is over.
    """
    tables = unlogged.wanted(ctx) if ctx.roles == FORWARD else []
    if tables:
        with ctx.write_destination.bounded(ctx.config.cutover.lock_timeout):
            copy_tables(ctx, held, tables, sent)
    copy_objects(ctx, held, sent)
    found: dict[str, Any] = {"unlogged": len(tables)} if tables else {}
    if copies_large_objects(ctx):
        found["large_objects_until"] = held.value(TRANSACTION)
    return found


def end_waiting(ctx: ReadContext, held: WriteSession) -> None:
    """End the sessions that wait for large objects, right before the fence's commit would let them go on."""
    if copies_large_objects(ctx):
        held.rows(END_WAITING, [[t.oid for t in CATALOGS]])


def empty(ctx: WriteContext) -> None:
    """Remove from the destination what was copied, and the records of it."""
    registry = WritableRegistry(ctx.write_destination, ctx.names)
    if not registry.is_ours():
        return
    have = unlogged.copied(ctx)
    tables = [t for t in all_tables(ctx.destination) if (t.schema, t.name) in have]
    if tables:
        with ctx.write_destination.transaction(), fence.lifted(ctx.write_destination, ctx.names):
            unlogged.empty_copied(registry, tables)
    large_objects.remove_all(registry)


def written_late(ctx: ReadContext, record: dict[str, Any]) -> Iterator[str]:
    """Yield what was done to large objects of the source after the cutover that ``record`` tells of."""
    since = record.get("large_objects_until")
    late = ctx.source.rows(LATE, {"since": since}) if since is not None else []
    if late:
        yield "large objects of the source were written after the cutover: " + ", ".join(
            str(row.oid) for row in late
        )
