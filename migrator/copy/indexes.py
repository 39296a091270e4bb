"""The building of indexes as tasks: each table's as soon as its rows are in.

Those of a large table are built at the same time, its keys among them (``keys.py``), but for what locks the
table while it is built: that comes before. Those of small tables are put together, because a transaction
costs more than they do. The indexes of partitioned tables are attached when all of them are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.copy import post_data
from migrator.copy.builder import POOL, Builder, build_all, builders, lend_workers
from migrator.copy.keys import by_index
from migrator.copy.machine import known_cores
from migrator.copy.memory import SORTED
from migrator.copy.scheduler import Name, Ready, Scheduler, Task
from migrator.pg.dump import Entry, Part, SchemaDump
from migrator.pg.registry import Registry
from migrator.pg.restore import restored_keys
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.context import WriteContext

# Whose work this is, and whose undo takes it away.
STEP = "build_indexes"
# What is told the number of entries of a finished task, and one of them.
Told = Callable[[int, Entry], None]
# Building an index takes about that many times as long as copying the bytes it will have.
WEIGHT = 4
ATTACH = "INDEX ATTACH"
SMALL = 16 * 1024 * 1024
TOGETHER = 100

# By what a dump's entry names: the index, or the constraint that it stands for.
OWNERS = """
select o.oid,
       n.nspname as schema,
       c.relname as name,
       c.relispartition or c.relkind = 'p' as in_tree,
       pg_catalog.pg_relation_size(o.index) as bytes
from (
    select i.indexrelid as oid, i.indrelid as relation, i.indexrelid as index
    from pg_catalog.pg_index i
    union all
    select k.oid, k.conrelid, k.conindid
    from pg_catalog.pg_constraint k
    where k.contype in ('p', 'u', 'x')
) o
join pg_catalog.pg_class c on c.oid = o.relation
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
"""


@dataclass
class Builds:
    """The entries of one table, or of several small ones that are built together."""

    tables: list[Name]
    keys: list[Entry]
    others: list[Entry]
    bytes: int
    in_tree: bool


def build(ctx: WriteContext) -> None:
    """Build the indexes that are missing, when all rows are in."""
    dump = post_data.dump(ctx)
    entries = post_data.missing(ctx, dump, Part.INDEX)
    built = 0

    def tell(count: int, entry: Entry) -> None:
        nonlocal built
        built += count
        ctx.progress(built, len(entries), "indexes", entry.title)

    scheduler = Scheduler({POOL: builders(ctx)})
    build_all(ctx, tasks(ctx, dump, entries, Ready(), scheduler, tell), scheduler)


def tasks(
    ctx: WriteContext,
    dump: SchemaDump,
    entries: list[Entry],
    ready: Ready,
    scheduler: Scheduler,
    done: Told,
) -> list[Task]:
    """Return the building of ``entries``, each when its table is ``ready``; what comes next waits for it.

    ``done`` is told of each finished task.
    """
    owners = {row.oid: row for row in ctx.source.rows(OWNERS)}
    # A table that was large when its copy began may have become somewhat smaller since.
    keys = by_index(ctx, entries, SMALL // 4)
    have = restored_keys(Registry(ctx.destination, ctx.names)) if keys else set()
    # Keys that come as an index first; of a run that was cut short that may be all that is there.
    adopted = {name for name, key in keys.items() if key.index.key in have}
    parallel = ctx.destination_server.has(Feature.PARALLEL_INDEX_BUILD)
    cores = known_cores(ctx)

    def restore(these: list[Entry], worker: Builder) -> None:
        if parallel:
            lend_workers(worker.session, scheduler.spare(POOL, cores))
        worker.restore(STEP, dump.preamble, these, rewrite)

    def rewrite(entry: Entry) -> str:
        return keys[entry.key].adoption if entry.key in adopted else entry.sql

    async def run(these: list[Entry], count: int, memory: int, worker: Builder) -> None:
        await worker.do(partial(restore, these, worker), memory=memory, sharers=scheduler.beginning(POOL))
        done(count, these[-1])

    def task(these: list[Entry], needs: list[Task], *, count: int | None = None) -> Task:
        size = [owners[e.object_oid].bytes for e in these if e.object_oid in owners and e.key not in adopted]
        work = partial(run, these, len(these) if count is None else count, SORTED * max(size, default=0))
        return Task(these[0].title, POOL, sum(size) * WEIGHT, work, needs)

    def tasks_of_large(group: Builds, needs: list[Task]) -> list[Task]:
        is_alone = len(group.keys) + len(group.others) == 1
        locking = [k for k in group.keys if k.key not in keys or (is_alone and k.key not in adopted)]
        beside = [k for k in group.keys if k not in locking]
        builds: list[Task] = []
        for key in locking:
            builds.append(task([key], needs))
            needs = [builds[-1]]
        indexes = [keys[k.key].index for k in beside if k.key not in adopted]
        builds += [task([index], needs, count=0) for index in indexes]
        builds += [task([other], needs) for other in group.others]
        adopted.update(k.key for k in beside)
        return [*builds, task(beside, builds or needs)] if beside else builds

    made: list[Task] = []
    attached = [e for e in entries if e.kind == ATTACH]
    trees: list[Name] = []
    for group in _groups([e for e in entries if e.kind != ATTACH], owners):
        needs = ready.when(group.tables)
        if group.bytes < SMALL:
            builds = [task([*group.keys, *group.others], needs)]
        else:
            builds = tasks_of_large(group, needs)
        for build_ in builds:
            ready.after(group.tables, build_)
        if group.in_tree:
            trees += group.tables
        made += builds
    if attached:
        made.append(task(attached, ready.when(trees)))
        ready.after(trees, made[-1])
    return made


def _groups(entries: list[Entry], owners: dict[int, Any]) -> list[Builds]:
    by_table: dict[Name, Builds] = {}
    for entry in entries:
        owner = owners.get(entry.object_oid)
        if owner is None:
            # The source has dropped it since it was dumped.
            continue
        table = (owner.schema, owner.name)
        group = by_table.setdefault(table, Builds([table], [], [], 0, owner.in_tree))
        group.bytes += owner.bytes
        (group.keys if entry.kind == "CONSTRAINT" else group.others).append(entry)
    groups: list[Builds] = []
    # Trees apart: their indexes are attached when they are there, whatever else is still to be built.
    filling: dict[bool, Builds] = {}
    for group in by_table.values():
        last = filling.get(group.in_tree)
        if group.bytes >= SMALL:
            groups.append(group)
        elif last is None or last.bytes + group.bytes >= SMALL or len(last.tables) >= TOGETHER:
            filling[group.in_tree] = group
            groups.append(group)
        else:
            last.tables += group.tables
            last.keys += group.keys
            last.others += group.others
            last.bytes += group.bytes
    return groups
