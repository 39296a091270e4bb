"""Hand asyncpg a huge COPY row in slices, as the network delivers it.

The source sends each row as one message, of up to 1 GB, and asyncpg collects a message before it gives
it on. Standing between a connection's transport and asyncpg, a ``Slicer`` writes such a message's
parts as messages of their own, which is what asyncpg then gives on: the memory no longer depends on
the row. Messages begin where the one before says it ends, so every message's length is read: that costs
0.08 µs per row, and is left out where no row can be huge.
"""

from __future__ import annotations

import asyncio
from struct import Struct
from typing import Any

# A longer message is cut. A row that has no values out of line fits in a page, compressed; unpacked that
# is 2 MB at most (lz4).
LARGEST_WHOLE = 1024 * 1024
COPY_DATA = b"d"
# Every message: its type, then its length, in which the type is not counted.
HEAD = 5
head_of = Struct(">cI")
length_at = Struct(">xI").unpack_from
# The whole of ReadyForQuery but its last byte, the transaction's status.
READY = b"Z\x00\x00\x00\x05"


class Slicer(asyncio.Protocol):
    """Stands before the protocol of one connection, for good; passes everything on to it."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._slicing = False
        self._tail = b""
        # Of the message that the last data ended in: what is to come, and whether that is being cut.
        self._missing = 0
        self._cutting = False
        # What was the beginning of a head.
        self._held = b""

    @classmethod
    def before(cls, connection: Any) -> Slicer:
        """Put a slicer between an asyncpg connection and its transport."""
        slicer = cls(connection._protocol)
        connection._transport.set_protocol(slicer)
        return slicer

    def slice(self, *, wanted: bool) -> None:
        """Begin to cut huge messages, or stop; to be called between two queries.

        It begins only where a message is sure to begin: after the last byte of an answer.
        """
        if wanted:
            self._slicing = self._slicing or self._tail[:-1] == READY
        else:
            self._slicing = bool(self._missing or self._held)

    def data_received(self, data: bytes) -> None:
        """Pass on what came, huge messages in parts."""
        tail = data[-len(READY) - 1 :]
        self._tail = tail if len(tail) > len(READY) else (self._tail + tail)[-len(READY) - 1 :]
        self._protocol.data_received(self._sliced(data) if self._slicing else data)

    def _sliced(self, data: bytes) -> bytes:
        if self._held:
            data, self._held = self._held + data, b""
        end = len(data)
        parts: list[bytes | memoryview] = []
        position = begin = 0
        if self._missing:
            position = self._missing
            self._missing = max(position - end, 0)
            if self._cutting:
                begin = min(position, end)
                parts += [head_of.pack(COPY_DATA, begin + HEAD - 1), data[:begin]]
            if self._missing:
                return b"".join(parts) if self._cutting else data
            self._cutting = False
        last = position
        while position + HEAD <= end:
            last = position
            position += 1 + length_at(data, position)[0]
        if position > end:
            self._missing = position - end
            self._cutting = position - last > LARGEST_WHOLE and data[last : last + 1] == COPY_DATA
            if self._cutting:
                parts.append(data[begin:last])
                if last + HEAD < end:
                    parts += [head_of.pack(COPY_DATA, end - last - 1), data[last + HEAD :]]
                return b"".join(parts)
        elif position < end:
            self._held = data[position:]
        if not parts and not self._held:
            return data
        return b"".join([*parts, data[begin : min(position, end)]])

    def connection_lost(self, error: Exception | None) -> None:
        """Pass it on."""
        self._protocol.connection_lost(error)

    def eof_received(self) -> bool | None:
        """Pass it on."""
        answer: bool | None = self._protocol.eof_received()
        return answer

    def pause_writing(self) -> None:
        """Pass it on."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._protocol.resume_writing()
