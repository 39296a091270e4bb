"""In which order the fence locks the tables: as the application does, and the busy ones last.

Whoever has written to one table and waits for another, which the fence has locked already, will be waited
for by the fence: a deadlock, of which the fence is the victim. So while it waits, we look who queues behind
it and what they hold; the next try locks that first. What was learnt is kept on that server, a rehearsal's
for the cutover, too.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from migrator.errors import MigratorError
from migrator.pg.registry import Registry, WritableRegistry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from migrator.context import ReadContext, WriteContext
    from migrator.pg.catalog import Table

LOCK_ORDER = "lock_order"
# Seconds after which a wait is looked at, and again: before the deadlock check of the fence's session.
LOOK_EVERY = 0.03
WRITES = """
select relid, n_tup_ins + n_tup_upd + n_tup_del as writes
from pg_catalog.pg_stat_user_tables
"""
# Two tables each: what somebody holds as a writer does, and what it waits for.
QUEUE = """
select distinct held.relation::bigint as first, waiting.relation::bigint as then
from pg_catalog.pg_locks waiting
join pg_catalog.pg_locks held on held.pid = waiting.pid
where not waiting.granted
  and held.granted
  and waiting.pid <> %(fence)s
  and waiting.locktype = 'relation'
  and held.locktype = 'relation'
  and waiting.database = (select oid from pg_catalog.pg_database where datname = current_database())
  and held.database = waiting.database
  and waiting.relation = any (%(tables)s)
  and held.relation = any (%(tables)s)
  and held.relation <> waiting.relation
  and held.mode not in ('AccessShareLock', 'RowShareLock')
"""

Pair = tuple[int, int]


def in_order(ctx: ReadContext, tables: list[Table]) -> list[Table]:
    """Return the source's tables in the order in which they are to be locked."""
    writes = {row.relid: row.writes for row in ctx.source.rows(WRITES)}
    quiet_first = sorted(tables, key=lambda table: writes.get(table.oid, 0))
    by_oid = {table.oid: table for table in quiet_first}
    return [by_oid[oid] for oid in arrange(list(by_oid), known(ctx))]


def arrange(oids: Sequence[int], pairs: set[Pair]) -> list[int]:
    """Return ``oids`` as they come, but the first of each pair before its second, where that can be."""
    there = set(oids)
    before: dict[int, list[int]] = {}
    for first, then in sorted(pairs):
        if first in there:
            before.setdefault(then, []).append(first)
    placed: dict[int, None] = {}
    seen: set[int] = set()
    for oid in oids:
        # By hand, because a chain may be longer than Python's stack.
        todo = [oid]
        while todo:
            last = todo[-1]
            seen.add(last)
            # What is seen and not placed waits for this one: a circle, which nobody can put in order.
            if left := [first for first in before.get(last, ()) if first not in seen]:
                todo.append(left[0])
            else:
                placed[todo.pop()] = None
    return list(placed)


def known(ctx: ReadContext) -> set[Pair]:
    """Return what was learnt on the source so far."""
    record = Registry(ctx.source, ctx.names).read(LOCK_ORDER) or {"pairs": []}
    return {(first, then) for first, then in record["pairs"]}


def learn(ctx: WriteContext, pairs: set[Pair]) -> bool:
    """Keep what was learnt; return whether any of it is new."""
    before = known(ctx)
    if pairs <= before:
        return False
    WritableRegistry(ctx.write_source, ctx.names).record(LOCK_ORDER, {"pairs": sorted(before | pairs)})
    return True


@contextmanager
def watching(ctx: ReadContext, fence: int, tables: list[Table]) -> Iterator[set[Pair]]:
    """Give a set that fills while the fence, of that process id, waits for its locks."""
    seen: set[Pair] = set()
    wanted = {"fence": fence, "tables": [table.oid for table in tables]}

    def look() -> None:
        seen.update((row.first, row.then) for row in ctx.source.rows(QUEUE, wanted))

    with _repeating(look):
        yield seen


@contextmanager
def _repeating(look: Callable[[], None]) -> Iterator[None]:
    done = threading.Event()

    def repeat() -> None:
        # A server that cannot be asked is for whoever asks it next to complain of.
        with suppress(MigratorError):
            while not done.wait(LOOK_EVERY):
                look()

    thread = threading.Thread(target=repeat, name="who queues behind the fence", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
