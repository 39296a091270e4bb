"""Carry the rows of one COPY from one server to the other, in blocks, without looking at them.

asyncpg hands over COPY data as the network delivers it: the cheapest relay in Python by far (0.2 µs
per row of 135 bytes against 1.5 µs with psycopg). A bounded queue between reader and writer and a
slicer in front of the reader keep the memory flat, whatever the size of the table and of its values.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migrator.copy.slices import Slicer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from migrator.copy.formats import Shape
    from migrator.copy.throttle import Throttle
    from migrator.pg.catalog import Table

QUEUED_BYTES = 4 * 1024 * 1024
# What is written at once: asyncpg copies it, and asyncio what the network does not take.
WRITTEN_BYTES = 1024 * 1024


class Pipe:
    """Hand blocks from one reader to one writer, at most ``QUEUED_BYTES`` at a time.

    A block that is larger than that by itself passes when the pipe is empty.
    """

    def __init__(self) -> None:
        self._blocks: deque[bytes] = deque()
        self._size = 0
        self._put = asyncio.Event()
        self._taken = asyncio.Event()

    async def put(self, block: bytes) -> None:
        """Wait for room, then take the block in; an empty one ends the pipe."""
        while self._blocks and self._size + len(block) > QUEUED_BYTES:
            self._taken.clear()
            await self._taken.wait()
        self._blocks.append(block)
        self._size += len(block)
        self._put.set()

    async def blocks(self) -> AsyncIterator[bytes | memoryview]:
        """Give the blocks in order, large ones in parts, until the end."""
        while True:
            while not self._blocks:
                self._put.clear()
                await self._put.wait()
            block = self._blocks.popleft()
            self._size -= len(block)
            self._taken.set()
            if not block:
                return
            if len(block) <= WRITTEN_BYTES:
                yield block
                continue
            whole = memoryview(block)
            for begin in range(0, len(whole), WRITTEN_BYTES):
                yield whole[begin : begin + WRITTEN_BYTES]


@dataclass(frozen=True)
class Reader:
    """A connection to read from, and what cuts its huge messages."""

    connection: Any
    slicer: Slicer

    @classmethod
    def of(cls, connection: Any) -> Reader:
        """Return a reader for an asyncpg connection; made once per connection."""
        return cls(connection, Slicer.before(connection))


async def carry(
    source: Reader,
    destination: Any,
    table: Table,
    shape: Shape,
    *,
    query: str | None = None,
    freeze: bool = False,
    sent: Callable[[int], None],
    throttle: Throttle,
) -> tuple[int, int]:
    """Copy what ``query`` gives, or the whole table, into the table; return the rows and the bytes.

    Both connections stand in a transaction, and at the source some query came before. ``sent`` is told
    the bytes so far. Raises what asyncpg raises, in an exception group.
    """
    total = 0
    pipe = Pipe()
    columns = list(shape.columns)

    async def take(block: bytes) -> None:
        nonlocal total
        await throttle.spend(len(block))
        total += len(block)
        await pipe.put(block)
        sent(total)

    async def read() -> None:
        source.slicer.slice(wanted=shape.wide)
        if query is None:
            await source.connection.copy_from_table(
                table.name, schema_name=table.schema, columns=columns, output=take, format=shape.format
            )
        else:
            await source.connection.copy_from_query(query, output=take, format=shape.format)
        await pipe.put(b"")

    async with asyncio.TaskGroup() as group:
        group.create_task(read())
        write = group.create_task(
            destination.copy_to_table(
                table.name,
                schema_name=table.schema,
                columns=columns,
                source=pipe.blocks(),
                format=shape.format,
                freeze=freeze or None,
            )
        )
    return int(write.result().split()[-1]), total
