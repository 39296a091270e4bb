"""What must hold right before the fence: each gate is a function that says why it is closed, or nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from migrator.context import FORWARD, ReadContext, WriteContext
from migrator.copy import unlogged
from migrator.pg.activity import name_holders
from migrator.pg.catalog import (
    all_tables,
    index_names,
    published_tables,
    unanalyzed_tables,
    unpublished_tables,
)
from migrator.pg.publication import carried_by, published_streams
from migrator.pg.registry import Registry, WritableRegistry
from migrator.pg.storage import Storage, is_rewritten, storage
from migrator.switchover import fence, streams, unstreamed
from migrator.switchover.drift import no_schema_has_drifted

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

COLUMNS = """
select n.nspname as schema,
       c.relname as name,
       a.attname as column,
       pg_catalog.format_type(a.atttypid, a.atttypmod) as type
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
join unnest(%s::text[], %s::text[]) as t (schema, name) on t.schema = n.nspname and t.name = c.relname
where a.attnum > 0
  and not a.attisdropped
"""
PREPARED = "select gid, prepared from pg_catalog.pg_prepared_xacts where database = current_database()"
COPIED = """
select distinct n.nspname as schema, c.relname as name, k.filenode, k.definition
from {schema}.copied k
join pg_catalog.pg_class c on c.oid = k.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""
FEEDING = """
select s.subname
from pg_catalog.pg_subscription s
join pg_catalog.pg_database d on d.oid = s.subdbid
where d.datname = current_database() and s.subenabled
order by 1
"""

# One row that differs when any table, column or publication was changed; of a truncated one, too.
SCHEMA_MARK = """
with tables as (
    select c.oid, c.xmin, pg_catalog.pg_relation_filenode(c.oid) as filenode
    from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p')
      and c.relpersistence <> 't'
      and n.nspname !~ '^pg_'
)
select (select count(*) || ' ' || coalesce(sum(pg_catalog.hashtext(
               pg_catalog.concat_ws(' ', oid, xmin, filenode))), 0)
        from tables)
       || ' '
       || (select count(*) || ' ' || coalesce(sum(pg_catalog.hashtext(
               pg_catalog.concat_ws(' ', a.attrelid, a.attnum, a.xmin))), 0)
           from pg_catalog.pg_attribute a
           join tables t on t.oid = a.attrelid)
       || ' '
       || (select count(*) || ' ' || coalesce(sum(pg_catalog.hashtext(
               pg_catalog.concat_ws(' ', oid, xmin))), 0)
           from pg_catalog.pg_publication_rel) as mark
"""

STORAGE_EVENT = "storage"

Gate = Callable[[ReadContext], Iterator[str]]

CHANGED_HINT = (
    "make the same change on the destination, then migrator advance; or migrator rollback-to planned, and "
    "hold back schema changes"
)


def stream_is_live(ctx: ReadContext) -> Iterator[str]:
    """Every stream has its subscription, which is ours, enabled, and has a worker that runs."""
    found = {s.stream.number: s for s in streams.find_subscriptions(ctx) if s.ours}
    wanted = published_streams(ctx.source, ctx.names)
    if not found:
        yield "there is no subscription of ours on the destination"
        return
    for stream in wanted:
        which = f" ({stream.subscription})" if len(wanted) > 1 else ""
        subscription = found.get(stream.number)
        if subscription is None:
            yield f"there is no subscription of ours on the destination{which}"
        elif not subscription.enabled:
            yield f"the subscription is disabled{which}" + _apply_errors(ctx, subscription.oid)
        elif subscription.worker is None:
            yield f"the stream's apply worker is not running{which}" + _apply_errors(ctx, subscription.oid)


def tables_are_ready(ctx: ReadContext) -> Iterator[str]:
    """Every published table is subscribed and ready."""
    published = Counter(carried_by(ctx.source, ctx.names).values())
    for found in streams.find_subscriptions(ctx):
        name, count = found.stream.subscription, published[found.stream.number]
        if found.unready:
            yield f"{found.unready} of {found.tables} tables of subscription {name} are not ready"
        if found.tables != count:
            yield f"{count} tables are published and {found.tables} are subscribed by {name}"


def no_table_is_left_out(ctx: ReadContext) -> Iterator[str]:
    """Every table that ``[tables]`` takes in is published."""
    new = unpublished_tables(ctx.source, ctx.names, ctx.config.tables)
    if new:
        yield (
            f"tables of the source are not in the migration (made after the copy?): "
            f"{', '.join(t.label for t in new[:10])}; migrator refresh takes them in; or drop or exclude them"
        )


def nothing_unstreamed_is_left_out(ctx: ReadContext) -> Iterator[str]:
    """Everything that ``[tables]`` says to copy beside the stream was copied once."""
    missing = unstreamed.not_in(ctx)
    if missing:
        yield f"never copied: {', '.join(missing[:10])}; migrator refresh copies them"


def columns_are_equal(ctx: ReadContext) -> Iterator[str]:
    """Every table whose rows are carried has the same columns of the same types on both sides."""
    tables = [*published_tables(ctx.source, ctx.names, sizes=False), *unlogged.wanted(ctx)]
    key = [[t.schema for t in tables], [t.name for t in tables]]
    there = {tuple(row) for row in ctx.source.rows(COLUMNS, key)}
    here = {tuple(row) for row in ctx.destination.rows(COLUMNS, key)}
    differing = sorted({f"{schema}.{name}" for schema, name, _, _ in there ^ here})
    if differing:
        yield f"columns differ between source and destination: {', '.join(differing[:10])}"


def no_transaction_is_old(ctx: ReadContext) -> Iterator[str]:
    """No transaction that writes to a table of the source is older than ``[cutover] max_transaction_age``.

    The fence would wait for it, and every other writer behind the fence; the one that ends sessions does not.
    """
    if ctx.config.cutover.fence == "read_only":
        return
    limit = ctx.config.cutover.max_transaction_age
    found = name_holders(ctx.source, ctx.names, [t.oid for t in all_tables(ctx.source)], older_than=limit)
    if found:
        yield f"transactions are older than {limit:g} s: {found}"


def every_table_is_analyzed(ctx: ReadContext) -> Iterator[str]:
    """Every table of the destination that holds rows has statistics, without which its plans are guesses."""
    bare = [t.label for t in unanalyzed_tables(ctx.destination)]
    if bare:
        yield f"tables of the destination have no statistics: {', '.join(bare[:10])}; analyze them"


def nothing_is_prepared(ctx: ReadContext) -> Iterator[str]:
    """No prepared transaction is open on the source: it cannot be moved and holds its locks."""
    for row in ctx.source.rows(PREPARED):
        yield f"prepared transaction {row.gid!r} of {row.prepared:%Y-%m-%d %H:%M:%S %Z} is open"


def destination_is_closed(ctx: ReadContext) -> Iterator[str]:
    """The destination's fence is up, so that both sides are never writable at once."""
    if not fence.is_read_only(ctx.destination) or not fence.is_up(ctx.destination, ctx.names):
        yield f"the {ctx.destination.side}'s fence is not up"
    elif bare := fence.uncovered(ctx.destination, ctx.names):
        yield f"the {ctx.destination.side}'s fence does not hold {', '.join(t.label for t in bare[:10])}"


def fence_is_prepared(ctx: ReadContext) -> Iterator[str]:
    """Every user table of the source has its fence trigger, unpublished ones and roots included."""
    if bare := fence.uncovered(ctx.source, ctx.names):
        yield f"the {ctx.source.side}'s fence does not hold {', '.join(t.label for t in bare[:10])}"


def no_table_is_rewritten(ctx: ReadContext) -> Iterator[str]:
    """No published table was rewritten since its copy: the stream does not carry that."""
    copied = {
        (row.schema, row.name): Storage(row.filenode, row.definition)
        for row in Registry(ctx.destination, ctx.names).rows(COPIED)
    } or {
        (schema, name): Storage(filenode, definition)
        for schema, name, filenode, definition in (
            Registry(ctx.source, ctx.names).read(STORAGE_EVENT) or {"tables": []}
        )["tables"]
    }
    tables = published_tables(ctx.source, ctx.names, sizes=False)
    now = storage(ctx.source, [t.oid for t in tables])
    rewritten = [
        t.label
        for t in tables
        if (before := copied.get((t.schema, t.name))) is not None
        and is_rewritten(before, now.get(t.oid), ctx.source.version)
    ]
    if rewritten:
        yield (
            f"tables were rewritten (alter table) since their copy, which the stream does not carry: "
            f"{', '.join(rewritten[:10])}; migrator rollback-to schema_copied, then migrator advance"
        )


def no_index_is_missing(ctx: ReadContext) -> Iterator[str]:
    """Every valid index of a table of the source has its namesake on the destination.

    On the way back one that was made since on the destination is missed by nobody.
    """
    if ctx.roles != FORWARD:
        return
    missing = sorted(index_names(ctx.source) - index_names(ctx.destination))
    if missing:
        yield (
            f"indexes of the source are not on the destination (made after the copy?): "
            f"{', '.join(missing[:10])}; migrator refresh builds them"
        )


def nothing_feeds_the_source(ctx: ReadContext) -> Iterator[str]:
    """No subscription brings changes into the source: its apply worker passes the fence."""
    for row in ctx.source.rows(FEEDING):
        yield f"subscription {row.subname} still brings changes into the source; disable it"


GATES: tuple[Gate, ...] = (
    stream_is_live,
    tables_are_ready,
    no_table_is_left_out,
    nothing_unstreamed_is_left_out,
    columns_are_equal,
    no_schema_has_drifted,
    no_table_is_rewritten,
    no_index_is_missing,
    no_transaction_is_old,
    nothing_is_prepared,
    every_table_is_analyzed,
    nothing_feeds_the_source,
    destination_is_closed,
    fence_is_prepared,
)

# What somebody who held a lock may have changed between the gates and the fence.
UNDER_THE_FENCE: tuple[Gate, ...] = (
    no_table_is_left_out,
    nothing_unstreamed_is_left_out,
    columns_are_equal,
    no_table_is_rewritten,
    tables_are_ready,
    fence_is_prepared,
)


def record_storage(ctx: WriteContext) -> None:
    """Write down what the destination's tables look like, for when it is to give the writes back.

    What the copy knows of the source's, it has on record with each table.
    """
    tables = all_tables(ctx.destination)
    found = storage(ctx.destination, [t.oid for t in tables])
    WritableRegistry(ctx.write_destination, ctx.names).record(
        STORAGE_EVENT, {"tables": [[t.schema, t.name, *found[t.oid]] for t in tables if t.oid in found]}
    )


def schema_mark(session: ReadSession) -> str:
    """Return a text that is another one when a table has been changed in between."""
    return str(session.value(SCHEMA_MARK))


def closed(ctx: ReadContext) -> list[str]:
    """Return why the gates are closed; an empty list when all are open."""
    return [why for gate in GATES for why in gate(ctx)]


def tables_have_changed(ctx: ReadContext) -> list[str]:
    """Return in what way published tables were changed that no stream carries."""
    return [why for gate in (columns_are_equal, no_table_is_rewritten) for why in gate(ctx)]


def _apply_errors(ctx: ReadContext, oid: int) -> str:
    count = streams.apply_errors(ctx, oid)
    return f" after {count} apply errors; see the destination's server log" if count else ""
