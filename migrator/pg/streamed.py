"""Read long answers piece by piece, all as of one moment."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from migrator.pg.translate import translate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.pg.session import ReadSession

ONE_MOMENT = "set transaction isolation level repeatable read, read only"
# All rows are fetched, and compiling a question over catalogs takes longer than to answer it.
WHOLE = """
select pg_catalog.set_config(s.name, s.value, true)
from (values ('cursor_tuple_fraction', '1'), ('jit', 'off')) s (name, value)
where pg_catalog.current_setting(s.name, true) is not null
"""
PIECE = 2000

Pieces = Generator[list[Any], None, None]


@contextmanager
def one_moment(session: ReadSession) -> Iterator[None]:
    """Have all the block's questions see the same moment."""
    try:
        with session.connection.transaction():
            session.execute(ONE_MOMENT)
            session.execute(WHOLE)
            yield
    except psycopg.Error as error:
        raise translate(error, session.side) from error


def pieces(session: ReadSession, query: str, size: int = PIECE) -> Pieces:
    """Yield the rows of an answer, ``size`` at a time, inside ``one_moment``.

    A question that fails leaves the moment as it is for others. Raises StatementFailed, ConnectionLost.
    """
    connection = session.connection
    try:
        with connection.transaction(), connection.cursor("migrator_pieces") as cursor:
            cursor.execute(query.encode())
            while rows := cursor.fetchmany(size):
                yield rows
    except psycopg.Error as error:
        raise translate(error, session.side) from error


def nothing() -> Pieces:
    """Yield the rows of a question that is not asked."""
    yield from ()
