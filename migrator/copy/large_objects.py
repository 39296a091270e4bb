"""Bring the destination's large objects to what the source has: oids, contents, owners, grants, comments.

No stream carries them, so they are compared, and what differs is copied. What has changed is seen without
reading contents. Every version of a page names the transaction that wrote it, and a pass begins by noting the
oldest transaction that was running then: a page that was written since is of that one or a later one. A
change that writes no page takes one away, and their number tells. Objects whose pages are as many as before
and all older are as they were.

Only objects that carry our record are ever changed or removed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from migrator.copy.large_object_batch import Batch, remove
from migrator.errors import Conflict
from migrator.pg.large_objects import foreign_large_objects

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.pg.registry import Registry, WritableRegistry
    from migrator.pg.session import ReadSession

EVENT = "large_objects"
# So many at a time.
OBJECTS = 500
LAST_OID = 2**32 - 1

OLDEST_RUNNING = "select pg_catalog.txid_snapshot_xmin(pg_catalog.txid_current_snapshot())"
# The catalogs have no statistics, and look more costly than they are.
NO_COMPILING = """
select pg_catalog.set_config(name, 'off', false)
from pg_catalog.pg_settings
where name = 'jit'
"""
# A page of an object holds a quarter of the server's block. ``age`` compares transactions modulo 2^32.
THERE = """
select m.oid::bigint as oid,
       pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
       m.lomacl::text as acl,
       d.description as comment,
       p.pages,
       p.span,
       p.changed
from (
    select oid, lomowner, lomacl
    from pg_catalog.pg_largeobject_metadata
    where oid > %(after)s::bigint::oid
    order by oid
    limit %(limit)s
) m
cross join lateral (
    select count(*) as pages,
           (coalesce(max(l.pageno), -1) + 1)::bigint
               * pg_catalog.current_setting('block_size')::int / 4 as span,
           coalesce(
               bool_or(
                   pg_catalog.age(l.xmin) <= pg_catalog.age((%(since)s::bigint & 4294967295)::text::xid)
               ),
               false
           ) as changed
    from pg_catalog.pg_largeobject l
    where l.loid = m.oid
) p
left join pg_catalog.pg_description d
       on d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
      and d.objoid = m.oid
      and d.objsubid = 0
order by m.oid
"""
SOME = "select object::bigint as oid from {schema}.large_objects order by object limit %s"


class Moved(NamedTuple):
    """What a pass did: the objects that there are, their bytes, how many were written and removed."""

    objects: int
    bytes: int
    written: int
    removed: int


def record(registry: Registry) -> dict[str, Any] | None:
    """Return what the last whole pass recorded, or None where there was none."""
    found = registry.read(EVENT)
    return found if found is not None and found["complete"] else None


def begun(registry: Registry) -> bool:
    """Return whether a pass was begun."""
    return registry.read(EVENT) is not None


def converge(
    source: ReadSession, registry: WritableRegistry, now: Callable[[], float], sent: Callable[[int], None]
) -> Moved:
    """Make the destination's large objects those of the source; return what there was to do.

    Commits several times; a pass that was cut short is gone on with by the next one. ``sent`` is told of
    bytes that were carried, and may raise to give up. Raises Conflict where the destination has an object
    that we did not make, before anything is changed.
    """
    refuse_strangers(registry)
    started = now()
    for session in (source, registry.session):
        session.execute(NO_COMPILING)
    oldest = source.value(OLDEST_RUNNING)
    known = registry.read(EVENT)
    if known is None:
        registry.record(EVENT, {"since": oldest, "complete": False})
    since = known["since"] if known else oldest
    objects = size = written = removed = after = 0
    while after < LAST_OID:
        there = source.rows(THERE, {"after": after, "limit": OBJECTS, "since": since})
        until = there[-1].oid if len(there) == OBJECTS else LAST_OID
        batch = Batch(source, registry, after, until, sent)
        wrote, gone = batch.converge({row.oid: row for row in there})
        objects, size = objects + len(there), size + sum(row.span for row in there)
        written, removed, after = written + wrote, removed + gone, until
        sent(0)
    seconds = round(now() - started, 3)
    found = {"since": oldest, "complete": True, "objects": objects, "bytes": size, "seconds": seconds}
    registry.record(EVENT, found)
    return Moved(objects, size, written, removed)


def refuse_strangers(registry: Registry) -> None:
    """Raise Conflict where the destination has large objects that we did not make."""
    found = foreign_large_objects(registry)
    if found:
        raise Conflict(
            "the destination holds large objects that migrator did not make: "
            + ", ".join(str(oid) for oid in found),
            hint="unlink them on the destination (select lo_unlink(oid)), then migrator advance",
        )


def remove_all(registry: WritableRegistry) -> None:
    """Remove every object that carries our record, a few hundred at a time, and forget about them."""
    while found := [row.oid for row in registry.rows(SOME, [OBJECTS])]:
        with registry.session.transaction():
            remove(registry, found)
    registry.forget(EVENT)
