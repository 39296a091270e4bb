"""Sessions that go to a pooler or a proxy, not to a server: its admin console, or a client's way through it.

Neither keeps settings of ours nor knows prepared statements, so that they get the simple protocol only,
and every answer has a deadline: a pooler may hold a statement back for as long as it likes.
"""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Any, Self

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.errors import ConnectionLost, StatementFailed, TimedOut, Unreachable
from migrator.pg.redact import redact
from migrator.pg.session import KEEPALIVE, shown

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

ANSWERED = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK, pq.ExecStatus.EMPTY_QUERY)
WHO_ANSWERS = """
select (select system_identifier from pg_catalog.pg_control_system()) as system_identifier,
       pg_catalog.current_database() as database
"""

Row = dict[str, str | None]


class PoolerSession:
    """A session whose statements are sent now and answered by a deadline."""

    def __init__(self, connection: psycopg.Connection[Any], where: str) -> None:
        self.where = where
        self._connection = connection
        self._waits_for: str | None = None

    @classmethod
    def open(cls, conninfo: str, *, application: str, timeout: float) -> Self:
        """Connect to ``conninfo`` within ``timeout`` seconds. Raises Unreachable."""
        where = shown(conninfo)
        given = conninfo_to_dict(conninfo)
        full = make_conninfo(
            conninfo,
            application_name=application,
            client_encoding="UTF8",
            connect_timeout=max(2, int(timeout)),
            **{name: given.get(name, value) for name, value in KEEPALIVE.items()},
        )
        try:
            connection = psycopg.connect(full, autocommit=True)
        except psycopg.Error as error:
            reason = " ".join(redact(str(error)).removeprefix("connection failed: ").split())
            raise Unreachable(
                f"{where} cannot be reached: {reason}",
                hint="psql must connect from here with that url; then run the same command again",
            ) from None
        return cls(connection, where)

    @property
    def is_ready(self) -> bool:
        """Return whether a statement can be sent: the session lives and owes no answer."""
        return not self._connection.closed and self._waits_for is None

    def ask(self, statement: str, deadline: float) -> list[Row]:
        """Run a statement; return its rows as texts. For ``deadline`` and errors see ``answer``."""
        self.send(statement)
        return self.answer(deadline)

    def send(self, statement: str) -> None:
        """Send a statement and do not wait for it. Raises ConnectionLost."""
        self._waits_for = statement
        try:
            self._connection.pgconn.send_query(statement.encode())
            self._connection.pgconn.flush()
        except psycopg.Error as error:
            raise self._lost(error) from None

    def answer(self, deadline: float) -> list[Row]:
        """Wait for what was sent, until the clock ``time.monotonic`` shows ``deadline``.

        Raises TimedOut (the session is of no more use then), StatementFailed, ConnectionLost.
        """
        statement = self._waits_for or ""
        rows: list[Row] = []
        refused: pq.abc.PGresult | None = None
        try:
            while (result := self._result(deadline)) is not None:
                if result.status not in ANSWERED:
                    refused = result
                rows += _rows(result)
        except psycopg.Error as error:
            raise self._lost(error) from None
        self._waits_for = None
        if refused is not None:
            said = refused.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"no reason given"
            state = refused.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000"
            raise StatementFailed(
                f"{self.where}: {' '.join(statement.split())}: {redact(said.decode(errors='replace'))}",
                hint="run the same command again",
                sqlstate=state.decode(),
            )
        return rows

    def _result(self, deadline: float) -> pq.abc.PGresult | None:
        pgconn = self._connection.pgconn
        with selectors.DefaultSelector() as selector:
            selector.register(pgconn.socket, selectors.EVENT_READ)
            while pgconn.is_busy():
                left = deadline - time.monotonic()
                if left <= 0 or not selector.select(left):
                    raise TimedOut(
                        f"{self.where} did not answer in time: {' '.join((self._waits_for or '').split())}",
                        hint="run the same command again",
                    )
                pgconn.consume_input()
        return pgconn.get_result()

    def _lost(self, error: psycopg.Error) -> ConnectionLost:
        self.close()
        return ConnectionLost(
            f"{self.where}: the connection was lost: {redact(str(error)).strip()}",
            hint="run the same command again",
        )

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the session."""
        self.close()


def _rows(result: pq.abc.PGresult) -> list[Row]:
    names = [(result.fname(column) or b"").decode() for column in range(result.nfields)]
    return [
        {
            name: None if (value := result.get_value(row, column)) is None else value.decode(errors="replace")
            for column, name in enumerate(names)
        }
        for row in range(result.ntuples)
    ]


def who_answers(conninfo: str, *, application: str, timeout: float) -> tuple[str, str]:
    """Return the system identifier and the database that a client of a pooler or proxy comes to.

    ``timeout`` is seconds. Raises what ``PoolerSession`` does.
    """
    deadline = time.monotonic() + timeout
    with PoolerSession.open(conninfo, application=application, timeout=timeout) as session:
        (row,) = session.ask(WHO_ANSWERS, deadline)
    return row["system_identifier"] or "", row["database"] or ""


def as_client(console: str, database: str, like: ReadSession) -> str:
    """Return the conninfo of a pooler's client: the console's address, the user of another session."""
    parts = {k: v for k, v in conninfo_to_dict(console).items() if k not in {"user", "password", "passfile"}}
    parameters = like.parameters()
    account = {key: parameters[key] for key in ("user", "password") if parameters.get(key)}
    return make_conninfo("", **{**parts, **account, "dbname": database})
