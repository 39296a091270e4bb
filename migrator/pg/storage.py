"""Tell whether a table was rewritten, which neither a snapshot nor the stream can see.

A rewriting ``alter table`` is not MVCC-safe (documentation 13.6): an older snapshot finds the table empty,
and the rewritten rows are not in the stream. ``truncate`` and ``vacuum full`` change the file too, and are
safe: the stream carries the one (from 11 on), the other keeps every row. What tells them apart is the
definition: a rewrite that changes rows changes the columns' catalog rows, or the access method.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.session import ReadSession

STORAGE = """
select c.oid,
       coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::bigint as filenode,
       pg_catalog.md5(pg_catalog.concat_ws(
           ',',
           c.relam,
           c.relpersistence,
           (select string_agg(a.attnum || ':' || a.xmin::text, ',' order by a.attnum)
            from pg_catalog.pg_attribute a
            where a.attrelid = c.oid and a.attnum > 0)
       )) as definition
from pg_catalog.pg_class c
where c.oid = any (%s)
"""


class Storage(NamedTuple):
    """A table's file and what its definition looks like."""

    filenode: int
    definition: str


def storage(session: ReadSession, oids: Iterable[int]) -> dict[int, Storage]:
    """Return the storage of the tables, as it is now."""
    return {row.oid: Storage(row.filenode, row.definition) for row in session.rows(STORAGE, [list(oids)])}


def is_rewritten(before: Storage, now: Storage | None, version: int) -> bool:
    """Return whether rows may have changed unseen between two looks at a source of that version."""
    if now is None:
        return True
    if before.filenode == now.filenode:
        return False
    return before.definition != now.definition or not has(version, Feature.TRUNCATE_IN_STREAM)
