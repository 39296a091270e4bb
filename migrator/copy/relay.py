"""Carry a table's rows from one server to the other, in blocks, without looking at them.

asyncpg hands over COPY data as the network delivers it: the cheapest relay in Python by far (0.23 µs
per row of 135 bytes against 1.5 µs with psycopg). A bounded queue between reader and writer keeps the
memory flat whatever the size of the table.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import asyncpg
from psycopg import sql

from migrator.errors import MigratorError
from migrator.pg.session import ReadSession, settings
from migrator.pg.translate import translated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from migrator.copy.formats import Shape
    from migrator.copy.pieces import Piece
    from migrator.pg.catalog import Table
    from migrator.pg.names import Names
    from migrator.pg.storage import Storage

QUEUED_BYTES = 4 * 1024 * 1024
SNAPSHOT = "begin isolation level repeatable read, read only; set transaction snapshot {snapshot}"
SELECT = "select {columns} from only {table} where {where}"
RECORD = """
insert into {schema}.copied (relation, piece, pieces, position, filenode, definition, rows, bytes)
values ({relation}::regclass, {piece}, {pieces}, {position}, {filenode}, {definition}, {rows}, {bytes})
"""
# Resolved through the same libpq rules as the session, so that a service or a passfile works here.
SSL_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")


@dataclass(frozen=True)
class Copied:
    """What was really sent."""

    rows: int
    bytes: int
    seconds: float


class Origin(Protocol):
    """Where the rows come from: the snapshot, its position in the stream, the tables as they were then."""

    @property
    def identifier(self) -> str:
        """Return the exported snapshot's identifier."""

    @property
    def position(self) -> str:
        """Return the position from which the stream continues."""

    @property
    def storage(self) -> dict[int, Storage]:
        """Return the tables' storage as it was before the snapshot."""

    def require_unchanged(self, table: Table) -> None:
        """Raise StepFailed when the table was rewritten since; its lock is held meanwhile."""


class Pipe:
    """Hand blocks from the reader to the writer, at most ``QUEUED_BYTES`` at a time.

    A block that is larger than that by itself (one huge value) passes when the pipe is empty.
    """

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Condition()

    async def put(self, block: bytes) -> None:
        """Wait for room, then take the block in; an empty one ends the pipe."""
        async with self._changed:
            await self._changed.wait_for(lambda: not self._blocks or self._size + len(block) <= QUEUED_BYTES)
            self._blocks.append(block)
            self._size += len(block)
            self._changed.notify_all()

    async def blocks(self) -> AsyncIterator[bytes]:
        """Give the blocks in order, until the end."""
        while True:
            async with self._changed:
                await self._changed.wait_for(lambda: bool(self._blocks))
                block = self._blocks.popleft()
                self._size -= len(block)
                self._changed.notify_all()
            if not block:
                return
            yield block


class Relay:
    """One reading connection on the source and one writing connection on the destination."""

    def __init__(self, source: Any, destination: Any, names: Names) -> None:
        self.source = source
        self.destination = destination
        self.names = names

    @classmethod
    async def open(cls, source: ReadSession, destination: ReadSession, names: Names) -> Relay:
        """Connect to both servers as the given sessions are connected."""
        reader = await _connect(source, names, read_only=True)
        try:
            writer = await _connect(destination, names, read_only=False)
        except BaseException:
            reader.terminate()
            raise
        return cls(reader, writer, names)

    async def close(self) -> None:
        """End both connections, without waiting for what they may be in the middle of."""
        self.source.terminate()
        self.destination.terminate()

    async def copy(self, piece: Piece, shape: Shape, origin: Origin, sent: Callable[[int], None]) -> Copied:
        """Copy one piece of a table and record it, in one transaction on the destination.

        ``sent`` is told the bytes so far. A table that comes in one piece is truncated first, in the
        same transaction, so that the rows can be frozen as they arrive; only ever called on a table that
        we made. The source's lock on the table (``access share``) is held for the time of the copy alone.
        """
        started = time.monotonic()
        table = piece.table
        columns = list(shape.columns)
        total = 0
        pipe = Pipe()

        async def take(block: bytes) -> None:
            nonlocal total
            total += len(block)
            await pipe.put(bytes(block))
            sent(total)

        async def read() -> None:
            if piece.where is None:
                await self.source.copy_from_table(
                    table.name,
                    schema_name=table.schema,
                    columns=columns,
                    output=take,
                    format=shape.format,
                )
            else:
                query = _text(
                    SELECT,
                    columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
                    table=table.identifier,
                    where=piece.where,
                )
                await self.source.copy_from_query(query, output=take, format=shape.format)
            await pipe.put(b"")

        await self.source.execute(_text(SNAPSHOT, snapshot=sql.Literal(origin.identifier)))
        async with self.destination.transaction():
            if piece.of == 1:
                await self.destination.execute(_text("truncate only {table}", table=table.identifier))
            async with asyncio.TaskGroup() as group:
                group.create_task(read())
                write = group.create_task(
                    self.destination.copy_to_table(
                        table.name,
                        schema_name=table.schema,
                        columns=columns,
                        source=pipe.blocks(),
                        format=shape.format,
                        freeze=piece.of == 1,
                    )
                )
            rows = int(write.result().split()[-1])
            origin.require_unchanged(table)
            await self.destination.execute(
                _text(
                    RECORD,
                    schema=sql.Identifier(self.names.schema),
                    relation=sql.Literal(table.identifier.as_string()),
                    piece=sql.Literal(piece.number),
                    pieces=sql.Literal(piece.of),
                    position=sql.Literal(origin.position),
                    filenode=sql.Literal(origin.storage[table.oid].filenode),
                    definition=sql.Literal(origin.storage[table.oid].definition),
                    rows=sql.Literal(rows),
                    bytes=sql.Literal(total),
                )
            )
        await self.source.execute("commit")
        return Copied(rows, total, time.monotonic() - started)


async def _connect(session: ReadSession, names: Names, *, read_only: bool) -> Any:
    # Where the session really is, after libpq has resolved services, passfiles and host lists.
    info = session.connection.info
    given = info.get_parameters()
    ssl = {name: given[name] for name in SSL_PARAMETERS if given.get(name)}
    # A given address stands for the name; but a certificate is compared with the name.
    by_address = given.get("hostaddr") and given.get("sslmode") != "verify-full"
    return await asyncpg.connect(
        f"postgresql://?{urlencode(ssl, quote_via=quote)}",
        host=info.hostaddr if by_address else info.host,
        port=info.port,
        user=info.user,
        password=info.password or None,
        database=info.dbname,
        timeout=30,
        statement_cache_size=0,
        server_settings={
            **settings(read_only=read_only, version=session.version),
            "application_name": names.application,
        },
    )


def _text(query: str, **parts: sql.Composable) -> str:
    return sql.SQL(query).format(**parts).as_string()


def relay_failure(error: BaseException) -> BaseException:
    """Return our error for what went wrong in a relay; what is a bug or an interruption stays as it is.

    Of several failures the first that a server gave counts; the others are its echo.
    """
    if isinstance(error, BaseExceptionGroup):
        found = [relay_failure(e) for e in error.exceptions]
        return next((f for f in found if isinstance(f, MigratorError)), found[0])
    if isinstance(error, asyncpg.PostgresConnectionError):
        return translated("copy", "", str(error))
    if isinstance(error, asyncpg.PostgresError):
        return translated("copy", error.sqlstate or "XX000", str(error), error.detail or "")
    # An error that came while the connection was idle leaves asyncpg confused: the connection is gone.
    if isinstance(error, OSError | asyncpg.InterfaceError | asyncpg.InternalClientError):
        return translated("copy", "", str(error) or type(error).__name__)
    return error
