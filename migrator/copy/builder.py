"""A worker that builds on the destination: a writing session with a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.copy.relay import relay_failure
from migrator.copy.scheduler import Pool, Scheduler, Task
from migrator.pg.registry import WritableRegistry
from migrator.pg.session import WriteSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from migrator.context import WriteContext

# What the builds may use together is a quarter of the shared buffers, by rule of thumb a sixteenth of the
# memory; never less for one than the server would give it anyway.
MEMORY = """
select pg_catalog.set_config(
           'maintenance_work_mem',
           greatest(
               m.setting::bigint,
               least(b.setting::bigint * 8 / 4 / %s, 2097151)
           )::text,
           false
       )
from pg_catalog.pg_settings m
cross join pg_catalog.pg_settings b
where m.name = 'maintenance_work_mem'
  and b.name = 'shared_buffers'
"""
POOL = "build"
PARALLEL = "select pg_catalog.set_config('max_parallel_maintenance_workers', %s, false)"


class Builder:
    """A session on the destination and the thread that waits for it."""

    def __init__(self, registry: WritableRegistry, thread: ThreadPoolExecutor) -> None:
        self.registry = registry
        self.session = registry.session
        self._thread = thread

    async def do(self, work: Callable[[], Any]) -> None:
        """Do blocking ``work``; when we are cancelled, the server stops it and we see it end."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                self.session.cancel()
                await asyncio.wait([future], timeout=1)
            raise


@asynccontextmanager
async def builder(ctx: WriteContext) -> AsyncIterator[Builder]:
    """Open a builder, one of ``[copy] index_jobs`` that share the memory for builds."""
    server = ctx.destination_server
    with (
        ThreadPoolExecutor(1) as thread,
        WriteSession.open(server.conninfo, side="destination", application=ctx.names.application) as session,
    ):
        session.execute(MEMORY, [ctx.config.copy.index_jobs])
        yield Builder(WritableRegistry(session, ctx.names), thread)


def builders(ctx: WriteContext) -> Pool:
    """Return the pool of builders."""
    return Pool(ctx.config.copy.index_jobs, partial(builder, ctx))


def build_all(ctx: WriteContext, tasks: list[Task], scheduler: Scheduler | None = None) -> None:
    """Do tasks that builders do and nobody else. Raises the first failure, when all have ended.

    Tasks that ask a scheduler who is idle come with it; its one pool is that of ``builders``.
    """
    try:
        asyncio.run((scheduler or Scheduler({POOL: builders(ctx)})).run(tasks))
    except BaseExceptionGroup as error:
        raise relay_failure(error) from error


def lend_workers(session: WriteSession, spare: int) -> None:
    """Let the next build have that many parallel workers, beside its own process."""
    session.execute(PARALLEL, [str(spare)])
