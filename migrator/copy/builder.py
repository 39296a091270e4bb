"""A worker that builds on the destination: a writing session with a thread of its own."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, closing
from functools import partial
from typing import TYPE_CHECKING, Any

from migrator.copy.memory import LEND, Memory
from migrator.copy.relay import relay_failure
from migrator.copy.scheduler import Pool, Scheduler, Task
from migrator.errors import ConnectionLost, Unreachable
from migrator.pg.activity import end_session
from migrator.pg.registry import WritableRegistry
from migrator.pg.restore import restore_together, restored_keys
from migrator.pg.session import WriteSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from migrator.context import WriteContext
    from migrator.pg.dump import Entry

POOL = "build"
PARALLEL = "select pg_catalog.set_config('max_parallel_maintenance_workers', %s, false)"


# A session that breaks is opened anew after so many seconds each.
BACK_OFF = (0.2, 1.0, 5.0)


class Builder:
    """A session on the destination and the thread that waits for it."""

    def __init__(self, ctx: WriteContext, thread: ThreadPoolExecutor, memory: Memory) -> None:
        self._again = False
        self._memory = memory
        self._lent = 0
        self._ctx = ctx
        self._thread = thread
        self.session = self._open()
        self._pid = self.session.pid

    def restore(
        self,
        step: str,
        preamble: str,
        entries: Sequence[Entry],
        rewrite: Callable[[Entry], str] = lambda entry: entry.sql,
    ) -> None:
        """Run entries in one transaction with their records, but for what a lost session has committed.

        Raises StatementFailed naming the entry.
        """
        registry = WritableRegistry(self.session, self._ctx.names)
        have = restored_keys(registry) if self._again else set()
        left = [e for e in entries if e.key not in have]
        if left:
            restore_together(registry, step, preamble, left, sleep=self._ctx.sleep, rewrite=rewrite)

    def close(self) -> None:
        """End the session."""
        self.session.close()

    async def do(self, work: Callable[[], Any], *, memory: int = 0, sharers: int = 0) -> None:
        """Do blocking ``work``; when we are cancelled, the server stops it and we see it end.

        It gets as much ``memory``, in bytes, as is left when so many ``sharers`` begin now; unless told, as
        many as there are builders. After a lost connection it is done once more, when the lost session has
        ended on the server; so it is to ask for ``session`` when it begins.
        """
        with self._memory.lent(memory, sharers or self._ctx.config.copy.index_jobs) as lent:
            for pause in (*BACK_OFF, None):
                try:
                    if not self.session.is_open:
                        await self._wait_for(self._open_again)
                    await self._wait_for(partial(self._with_memory, lent, work))
                except (ConnectionLost, Unreachable) as error:
                    if pause is None:
                        raise
                    self._ctx.note(f"{error.message}; what it did is begun again")
                    self.session.close()
                    self._again = True
                    await asyncio.sleep(pause)
                else:
                    return

    def _with_memory(self, lent: int, work: Callable[[], Any]) -> None:
        if lent != self._lent:
            self.session.execute(LEND, [f"{lent // 1024}kB"])
            self._lent = lent
        work()

    def _open(self) -> WriteSession:
        return WriteSession.open(
            self._ctx.destination_server.conninfo,
            side="destination",
            application=self._ctx.names.application,
        )

    def _open_again(self) -> None:
        session = self._open()
        end_session(session, self._ctx.names, self._pid)
        self.session, self._pid, self._lent = session, session.pid, 0

    async def _wait_for(self, work: Callable[[], Any]) -> None:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            await asyncio.shield(future)
        except asyncio.CancelledError:
            while not future.done():
                self.session.cancel()
                await asyncio.wait([future], timeout=1)
            raise


@asynccontextmanager
async def builder(ctx: WriteContext, memory: Memory) -> AsyncIterator[Builder]:
    """Open a builder, one of those that share the memory for builds."""
    with ThreadPoolExecutor(1) as thread, closing(Builder(ctx, thread, memory)) as worker:
        yield worker


def builders(ctx: WriteContext) -> Pool:
    """Return the pool of builders."""
    return Pool(ctx.config.copy.index_jobs, partial(builder, ctx, Memory.of(ctx)))


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
