"""Carry rows from one session to another by COPY, within whatever transactions they are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import psycopg

from migrator.pg.translate import translate

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.pg.session import Query, ReadSession, WriteSession

# A message holds one row; so many bytes of them are sent on together.
TOGETHER = 64 * 1024


class Carried(NamedTuple):
    """What was carried."""

    rows: int
    bytes: int


def carry_rows(
    source: ReadSession, out: Query, destination: WriteSession, into: Query, sent: Callable[[int], None]
) -> Carried:
    """Feed what ``copy … to stdout`` gives to ``copy … from stdin``, in bounded memory.

    ``sent`` is told of bytes that were carried and may raise to give up; the destination's statement
    fails then, as it does when the source's connection breaks in the middle.
    """
    total, size, held = 0, 0, list[bytes]()
    try:
        reader, writer = source.connection.cursor(), destination.connection.cursor()
        with reader.copy(out) as given, writer.copy(into) as taken:
            for block in given:
                held.append(bytes(block))
                size += len(block)
                if size >= TOGETHER:
                    taken.write(b"".join(held))
                    held.clear()
                    sent(size)
                    total, size = total + size, 0
            taken.write(b"".join(held))
        return Carried(writer.rowcount, total + size)
    except psycopg.Error as error:
        raise translate(error, "copy") from error
