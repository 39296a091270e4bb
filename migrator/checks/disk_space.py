"""There is room on the destination's disk for what is copied.

Looked at where the destination's data directory is on the machine that migrator runs on; how much room there
is on another one no server tells.

Why it matters: a full disk stops the copy, and everything else on that server. The rows are written twice for
a while, to the tables and to the WAL, and the indexes are sorted on disk.
How to fix: give the disk at least 1.2 times the size of the tables with their indexes. The source needs room
too, for the WAL that the slot keeps until the stream has read it: [copy] max_retained_wal is its limit.
When to ignore: the tables of the source are full of dead rows, which are not copied.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.config import Size
from migrator.pg.catalog import wanted_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext
    from migrator.pg.session import ReadSession

GROUP = Group.DB

# A directory of the same path on another machine was hardly touched in the same second.
DIRECTORY = """
select current_setting('data_directory') as path,
       extract(epoch from (pg_catalog.pg_stat_file(current_setting('data_directory'))).modification)::bigint
           as modified
"""
# A directory's files are quicker to add up than tables and indexes one by one.
DATABASE = "select pg_catalog.pg_database_size(current_database())"
SIZE = """
select coalesce(sum(pg_catalog.pg_total_relation_size(t.oid)), 0)::bigint
from unnest(%s::oid[]) as t (oid)
"""
NEEDED = 1.2


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what the tables take on the source with what is free on the destination."""
    path = _local_directory(ctx.destination)
    if path is None:
        return
    disk = os.statvfs(path)
    free = disk.f_bavail * disk.f_frsize
    if free >= NEEDED * ctx.source.value(DATABASE):
        return
    tables = wanted_tables(ctx.source, ctx.config.tables)
    size: int = ctx.source.value(SIZE, [[t.oid for t in tables]])
    if free < NEEDED * size:
        yield Finding(
            Severity.BLOCK if free < size else Severity.WARN,
            "destination",
            f"{Size(free).text} are free at {path}; the tables and their indexes take {Size(size).text} on "
            "the source",
            f"make room for {Size(int(NEEDED * size)).text}",
        )


def _local_directory(session: ReadSession) -> str | None:
    """Return the server's data directory if it is on this machine, as far as we may see that."""
    row = session.rows(DIRECTORY)[0]
    try:
        here = Path(row.path).stat()
    except OSError:
        return None
    return str(row.path) if int(here.st_mtime) == row.modified else None
