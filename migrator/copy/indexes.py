"""The building of indexes as tasks: each table's as soon as its rows are in, its keys before the rest.

A key locks its table while it is built (``alter table … add primary key``); other indexes of a table are
built at the same time. Those of small tables are put together, because a transaction costs more than
they do. The indexes of partitioned tables are attached when all of them are there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from migrator.copy.builder import POOL, Builder, build_all, builders, lend_workers
from migrator.copy.scheduler import Scheduler, Task
from migrator.pg.catalog import indexes_of_views, registries
from migrator.pg.dump import Entry, Part, SchemaDump, dump_schema
from migrator.pg.registry import Registry
from migrator.pg.restore import restore_together, restored_keys
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.context import WriteContext

# What is told the number of entries of a finished task, and one of them.
Told = Callable[[int, Entry], None]
# Building an index takes about that many times as long as copying the bytes it will have.
WEIGHT = 4
ATTACH = "INDEX ATTACH"
SMALL = 16 * 1024 * 1024
TOGETHER = 100

# By what a dump's entry names: the index, or the constraint that it stands for.
OWNERS = """
select i.indexrelid as oid, i.indrelid as relation, pg_catalog.pg_relation_size(i.indexrelid) as bytes
from pg_catalog.pg_index i
union all
select k.oid, k.conrelid, pg_catalog.pg_relation_size(k.conindid)
from pg_catalog.pg_constraint k
where k.contype in ('p', 'u', 'x')
"""


@dataclass
class Builds:
    """The entries of one table, or of several small ones that are built together."""

    relations: list[int]
    keys: list[Entry]
    others: list[Entry]
    bytes: int


def missing(ctx: WriteContext) -> tuple[SchemaDump, list[Entry]]:
    """Return the dump, and its indexes and keys that are not on the destination yet."""
    dump = dump_schema(
        ctx.source_server, ctx.destination_server, ctx.names, "post-data", registries(ctx.source)
    )
    have = restored_keys(Registry(ctx.destination, ctx.names))
    entries = dump.part(Part.INDEX, indexes_of_views(ctx.source))
    return dump, [e for e in entries if e.key not in have]


def build(ctx: WriteContext, step: str) -> None:
    """Build the indexes that are missing, when all rows are in."""
    dump, entries = missing(ctx)
    built = 0

    def tell(count: int, entry: Entry) -> None:
        nonlocal built
        built += count
        ctx.progress(built, len(entries), "indexes", entry.title)

    scheduler = Scheduler({POOL: builders(ctx)})
    build_all(ctx, tasks(ctx, step, dump, entries, {}, scheduler, tell), scheduler)


def tasks(
    ctx: WriteContext,
    step: str,
    dump: SchemaDump,
    entries: list[Entry],
    after: dict[int, list[Task]],
    scheduler: Scheduler,
    done: Told,
) -> list[Task]:
    """Return the building of ``entries``; ``after`` holds, by the source's table, what its rows wait for.

    What is made is recorded as made by ``step``; ``done`` is told of each finished task.
    """
    owners = {row.oid: row for row in ctx.source.rows(OWNERS)}
    parallel = ctx.destination_server.has(Feature.PARALLEL_INDEX_BUILD)

    def restore(these: list[Entry], worker: Builder) -> None:
        if parallel:
            lend_workers(worker.session, scheduler.spare(POOL))
        restore_together(worker.registry, step, dump.preamble, these, sleep=ctx.sleep)

    async def run(these: list[Entry], worker: Builder) -> None:
        await worker.do(partial(restore, these, worker))
        done(len(these), these[-1])

    def task(these: list[Entry], needs: list[Task]) -> Task:
        size = sum(owners[e.object_oid].bytes for e in these if e.object_oid in owners)
        return Task(these[0].title, POOL, size * WEIGHT, partial(run, these), needs)

    made: list[Task] = []
    attached = [e for e in entries if e.kind == ATTACH]
    for group in _groups([e for e in entries if e.kind != ATTACH], owners):
        needs = [n for relation in group.relations for n in after.get(relation, ())]
        if group.bytes < SMALL:
            made.append(task([*group.keys, *group.others], needs))
            continue
        for key in group.keys:
            made.append(task([key], needs))
            needs = [made[-1]]
        made += [task([other], needs) for other in group.others]
    if attached:
        made.append(task(attached, list(made)))
    return made


def _groups(entries: list[Entry], owners: dict[int, object]) -> list[Builds]:
    by_relation: dict[int, Builds] = {}
    for entry in entries:
        owner = owners.get(entry.object_oid)
        relation = getattr(owner, "relation", 0)
        group = by_relation.setdefault(relation, Builds([relation], [], [], 0))
        group.bytes += getattr(owner, "bytes", 0)
        (group.keys if entry.kind == "CONSTRAINT" else group.others).append(entry)
    groups: list[Builds] = []
    filling: Builds | None = None
    for group in by_relation.values():
        if group.bytes >= SMALL:
            groups.append(group)
        elif filling is None or filling.bytes + group.bytes >= SMALL or len(filling.relations) >= TOGETHER:
            filling = group
            groups.append(group)
        else:
            filling.relations += group.relations
            filling.keys += group.keys
            filling.others += group.others
            filling.bytes += group.bytes
    return groups
