"""Copy tables over a pair of connections: lock, carry the rows, record what was copied."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

import asyncpg
from psycopg import sql

from migrator.copy.carry import Reader, carry
from migrator.errors import MigratorError, SnapshotLost
from migrator.pg.session import KEEPALIVE, ReadSession, settings
from migrator.pg.translate import translated
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.copy.formats import Shape
    from migrator.copy.pieces import Piece
    from migrator.copy.throttle import Throttle
    from migrator.pg.catalog import Table
    from migrator.pg.names import Names
    from migrator.pg.storage import Storage

SNAPSHOT = "begin isolation level repeatable read, read only; set transaction snapshot {snapshot}"
# Its file is gone, or its process, of which the file may still tell for a moment.
SNAPSHOT_GONE = (
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.ObjectNotInPrerequisiteStateError,
)
SELECT = "select {columns} from only {table} where {where}"
RECORD = """
insert into {schema}.copied (relation, piece, pieces, position, filenode, definition, rows, bytes)
values ({relation}::regclass, {piece}, {pieces}, {position}, {filenode}, {definition}, {rows}, {bytes})
"""
RECORDED = """
select rows, bytes
from {schema}.copied
where relation = {relation}::regclass
  and piece = {piece}
  and position = {position}
"""
# Resolved through the same libpq rules as the session, so that a service or a passfile works here.
SSL_PARAMETERS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslcrl")
# A server that could not send for so long, during a pause, would give the connection up.
STAY = {"tcp_user_timeout": "0"}
PROBES = {
    "TCP_KEEPIDLE": "keepalives_idle",
    "TCP_KEEPINTVL": "keepalives_interval",
    "TCP_KEEPCNT": "keepalives_count",
    "TCP_USER_TIMEOUT": "tcp_user_timeout",
}


@dataclass(frozen=True)
class Sent:
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


class Relay:
    """One reading connection on the source and one writing connection on the destination."""

    def __init__(self, source: Any, destination: Any, names: Names, throttle: Throttle) -> None:
        self.source = source
        self.reader = Reader.of(source)
        self.destination = destination
        self.names = names
        self.throttle = throttle

    @classmethod
    async def open(
        cls, source: ReadSession, destination: ReadSession, names: Names, throttle: Throttle
    ) -> Relay:
        """Connect to both servers as the given sessions are connected."""
        reader = await _connect(source, names, read_only=True)
        try:
            writer = await _connect(destination, names, read_only=False)
        except BaseException:
            reader.terminate()
            raise
        return cls(reader, writer, names, throttle)

    async def close(self) -> None:
        """End both connections, without waiting for what they may be in the middle of."""
        self.source.terminate()
        self.destination.terminate()

    async def copy(self, piece: Piece, shape: Shape, origin: Origin, sent: Callable[[int], None]) -> Sent:
        """Copy one piece of a table and record it, in one transaction on the destination.

        ``sent`` is told the bytes so far. A table that comes in one piece is truncated first, in the
        same transaction, so that the rows can be frozen as they arrive; only ever called on a table that
        we made. The source's lock on the table (``access share``) is held for the time of the copy alone.
        """
        started = time.monotonic()
        table = piece.table
        query = None
        if piece.where is not None:
            query = _text(
                SELECT,
                columns=sql.SQL(", ").join(map(sql.Identifier, shape.columns)),
                table=table.identifier,
                where=piece.where,
            )
        await self._see(origin)
        async with self.destination.transaction():
            if piece.of == 1:
                await self.destination.execute(_text("truncate only {table}", table=table.identifier))
            rows, total = await carry(
                self.reader,
                self.destination,
                table,
                shape,
                query=query,
                freeze=piece.of == 1,
                sent=sent,
                throttle=self.throttle,
            )
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
        return Sent(rows, total, time.monotonic() - started)

    async def recorded(self, piece: Piece, origin: Origin) -> Sent | None:
        """Return what is recorded of a piece from this snapshot, or None while it is not in."""
        row = await self.destination.fetchrow(
            _text(
                RECORDED,
                schema=sql.Identifier(self.names.schema),
                relation=sql.Literal(piece.table.identifier.as_string()),
                piece=sql.Literal(piece.number),
                position=sql.Literal(origin.position),
            )
        )
        return None if row is None else Sent(row["rows"], row["bytes"], 0.0)

    async def _see(self, origin: Origin) -> None:
        try:
            await self.source.execute(_text(SNAPSHOT, snapshot=sql.Literal(origin.identifier)))
        except SNAPSHOT_GONE as error:
            raise SnapshotLost(
                f"source: the connection that holds the copy's snapshot was lost: {error}",
                hint="migrator advance",
                side="source",
            ) from error


async def _connect(session: ReadSession, names: Names, *, read_only: bool) -> Any:
    given = session.parameters()
    ssl = {name: given[name] for name in SSL_PARAMETERS if given.get(name)}
    # A given address stands for the name; but a certificate is compared with the name.
    by_address = given.get("hostaddr") and given.get("sslmode") != "verify-full"
    connection = await asyncpg.connect(
        f"postgresql://?{urlencode(ssl, quote_via=quote)}",
        host=given["address"] if by_address else given["host"],
        port=given["port"],
        user=given["user"],
        password=given["password"] or None,
        database=given["dbname"],
        timeout=30,
        statement_cache_size=0,
        server_settings={
            **settings(read_only=read_only, version=session.version),
            **(STAY if has(session.version, Feature.TCP_USER_TIMEOUT) else {}),
            "application_name": names.application,
        },
    )
    _keep_alive(connection)
    return connection


def _keep_alive(connection: Any) -> None:
    """Notice a peer that has vanished as libpq does, through a pause of hours; asyncpg leaves it out."""
    peer = connection._transport.get_extra_info("socket")
    if peer.family not in (socket.AF_INET, socket.AF_INET6):
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, name in PROBES.items():
        if hasattr(socket, option):
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), KEEPALIVE[name])


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
