"""What both sides hold at one moment, kept while the application writes on.

One session a side holds the snapshot open; any number of others read by it. Until it is released, vacuum
keeps on that side what the snapshot still sees.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from migrator.errors import MigratorError
from migrator.pg.session import ReadSession
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.context import ReadContext

BEGIN = "begin isolation level repeatable read read only"
EXPORT = """
select pg_catalog.pg_export_snapshot() as snapshot,
       case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()
            else pg_catalog.pg_current_wal_lsn()
       end::text as lsn
"""
# In one message: of many small tables the ways to and fro are what takes the time.
BEGIN_BY = sql.SQL(BEGIN + "; set transaction snapshot {snapshot}")
SET = "select pg_catalog.set_config(%s, %s, false)"


class Reader(NamedTuple):
    """A session on each side."""

    source: ReadSession
    destination: ReadSession

    @classmethod
    def open(cls, ctx: ReadContext, application: str = "") -> Reader:
        """Open both, without the server's own parallel workers: ours are many enough.

        A command that only looks gives the observer's name as their ``application``, or whoever changes
        something would end them as orphans.
        """
        opened: list[ReadSession] = []
        try:
            for session, server in (
                (ctx.source, ctx.source_server),
                (ctx.destination, ctx.destination_server),
            ):
                opened.append(
                    ReadSession.open(
                        server.conninfo,
                        side=session.side,
                        application=application or ctx.names.application,
                        max_parallel_workers_per_gather="0",
                    )
                )
                if has(session.version, Feature.JIT):
                    opened[-1].execute(SET, ["jit", "off"])
        except BaseException:
            for session in opened:
                session.close()
            raise
        return cls(*opened)

    def set(self, setting: str, value: str) -> None:
        """Give a setting another value on both sides, for as long as the sessions live."""
        for session in self:
            session.execute(SET, [setting, value])

    def cancel(self) -> None:
        """Stop what other threads run through them."""
        for session in self:
            session.cancel()

    def close(self) -> None:
        """End both."""
        for session in self:
            session.close()


class Snapshots:
    """A snapshot of each side, taken when the caller knows both to be still, by sessions opened before.

    ``lsn`` is the position then of the side that gave the writes away, empty while none is held;
    ``failure`` says why none could be had.
    """

    def __init__(self) -> None:
        self.lsn = ""
        self.failure = ""
        self.holders: Reader | None = None
        self._ids: tuple[str, ...] = ()

    def connect(self, ctx: ReadContext) -> None:
        """Open the sessions that will hold them, instead of any that do."""
        self.release()
        self.failure = ""
        try:
            self.holders = Reader.open(ctx)
        except MigratorError as error:
            self.failure = error.message

    def take(self) -> bool:
        """Take both, where there are sessions to hold them; say whether there are.

        A failure is remembered and stops nobody.
        """
        if self.holders is None:
            return False
        try:
            self.hold(self.holders)
        except MigratorError as error:
            self.release()
            self.failure = error.message
        return True

    def hold(self, holders: Reader, between: Callable[[], None] = lambda: None) -> None:
        """Take both through sessions that will hold them; ``between`` is done after the source's.

        Raises whatever stands in the way.
        """
        self.holders = holders
        holders.source.execute(BEGIN)
        mine = holders.source.rows(EXPORT)[0]
        between()
        holders.destination.execute(BEGIN)
        theirs = holders.destination.rows(EXPORT)[0]
        self.lsn, self._ids = mine.lsn, (mine.snapshot, theirs.snapshot)

    @contextmanager
    def seen_by(self, reader: Reader) -> Iterator[None]:
        """Have a reader's sessions see the snapshots, in one transaction that keeps no lock beyond it."""
        with self.seen_on(reader, 0), self.seen_on(reader, 1):
            yield

    @contextmanager
    def seen_on(self, reader: Reader, number: int) -> Iterator[ReadSession]:
        """Have one of a reader's sessions, 0 the source's and 1 the destination's, see its snapshot."""
        session = reader[number]
        try:
            session.execute(BEGIN_BY.format(snapshot=sql.Literal(self._ids[number])))
            yield session
        finally:
            if session.is_open:
                session.execute("rollback")

    def release(self) -> None:
        """Let both go."""
        if self.holders is not None:
            self.holders.close()
        self.holders, self.lsn, self._ids = None, "", ()
