"""Sessions on a PostgreSQL server: the only door through which migrator reads or writes one.

Every session has our ``application_name``, an empty ``search_path`` and settings pinned in the
startup packet, which outranks what ``ALTER ROLE … SET`` and ``ALTER DATABASE … SET`` say
(PostgreSQL documentation 19.1.3 and 19.1.4). A ``ReadSession`` is read-only by the server's rule and has
no method that writes; a ``WriteSession`` adds ``run`` and ``transaction``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Self

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import namedtuple_row

from migrator.errors import Unreachable
from migrator.pg.translate import translate, unreachable
from migrator.pg.versions import Feature, has

Query = sql.SQL | sql.Composed | str
Params = Sequence[Any] | Mapping[str, Any] | None

PINNED: dict[str, str] = {
    "role": "none",
    "search_path": "",
    "statement_timeout": "0",
    "lock_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "default_transaction_deferrable": "off",
    "synchronous_commit": "on",
    "row_security": "off",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "lc_monetary": "C",
    "xmloption": "content",
    "array_nulls": "on",
    "standard_conforming_strings": "on",
    # The server notices in the same time as we do (see KEEPALIVE), and gives our locks free.
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
PINNED_SINCE: dict[Feature, tuple[str, str]] = {
    Feature.IDLE_SESSION_TIMEOUT: ("idle_session_timeout", "0"),
    Feature.TRANSACTION_TIMEOUT: ("transaction_timeout", "0"),
    Feature.CLIENT_CONNECTION_CHECK: ("client_connection_check_interval", "2s"),
    Feature.TCP_USER_TIMEOUT: ("tcp_user_timeout", "30s"),
}
# Our own statements set off nobody's triggers: event triggers above all, on our DDL.
PINNED_BY_SUPERUSER: dict[Feature, tuple[str, str]] = {
    Feature.LOGICAL_REPLICATION: ("session_replication_role", "replica"),
    Feature.EVENT_TRIGGERS_SETTING: ("event_triggers", "off"),
}
CONNECT_TIMEOUT = "10"
# No statement is prepared because it was seen often, only one that asks for it.
NEVER = 2**31
# A peer that has vanished is noticed within half a minute (documentation 32.1.2).
KEEPALIVE: dict[str, int] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30000,
}
SUPERUSER = "(select rolsuper from pg_catalog.pg_roles where rolname = current_user)"
WHO = """
select pg_catalog.pg_backend_pid() as pid,
       pg_catalog.current_setting('default_transaction_read_only') as read_only,
       {superuser} as superuser
"""
PIN = "select pg_catalog.set_config(name, value, false) from unnest(%s::text[], %s::text[]) p (name, value)"
# What psycopg logs of a broken connection, we raise; our stderr holds our own lines only.
logging.getLogger("psycopg").addHandler(logging.NullHandler())
BOUND = """
select pg_catalog.set_config('lock_timeout', least(%s, reset_val::int * 9 / 10)::text, false),
       case when {superuser} then pg_catalog.set_config('deadlock_timeout', '50ms', false) end
from pg_catalog.pg_settings
where name = 'deadlock_timeout'
"""


def settings(*, read_only: bool, version: int = 0) -> dict[str, str]:
    """Return the settings that every session is pinned to, and its read-only default.

    Those that came with a version are in when ``version`` (``server_version_num``) says so.
    """
    return {
        **PINNED,
        "default_transaction_read_only": "on" if read_only else "off",
        **dict(pin for feature, pin in PINNED_SINCE.items() if has(version, feature)),
    }


def startup_options(pinned: Mapping[str, str]) -> str:
    """Return the settings as the ``options`` connection parameter (documentation 32.1.2)."""
    return " ".join(f"-c {name}={_escape(value)}" for name, value in pinned.items())


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def shown(conninfo: str) -> str:
    """Return where a conninfo leads, for people: never a password."""
    parts = conninfo_to_dict(conninfo)
    host, port = parts.get("host") or "local", parts.get("port") or "5432"
    return f"{host}:{port}/{parts.get('dbname') or parts.get('user') or ''}"


def dsn(conninfo: str, pinned: Mapping[str, str], application: str, **more: str) -> str:
    """Return a conninfo with our settings, name and timeouts added; what it says itself stays."""
    given = conninfo_to_dict(conninfo)
    return make_conninfo(
        conninfo,
        options=" ".join(filter(None, (str(given.get("options") or ""), startup_options(pinned)))),
        application_name=application,
        client_encoding="UTF8",
        connect_timeout=given.get("connect_timeout") or CONNECT_TIMEOUT,
        **{name: given.get(name, value) for name, value in KEEPALIVE.items()},
        **more,
    )


class ReadSession:
    """A session that can look and cannot write."""

    read_only = True

    def __init__(self, connection: psycopg.Connection[Any], side: str) -> None:
        self.connection = connection
        self.side = side

    @classmethod
    def open(
        cls, conninfo: str, *, side: str, application: str, autocommit: bool = True, **changed: str
    ) -> Self:
        """Connect to ``conninfo``. ``changed`` overrides pinned settings.

        Raises Unreachable when the server cannot be reached or does not let us in.
        """
        full = dsn(conninfo, {**settings(read_only=cls.read_only), **changed}, application)
        try:
            connection = psycopg.connect(
                full, autocommit=autocommit, prepare_threshold=NEVER, row_factory=namedtuple_row
            )
        except psycopg.Error as error:
            raise unreachable(error, side, shown(conninfo)) from None
        session = cls(connection, side)
        session._pin(conninfo)
        return session

    def _pin(self, conninfo: str) -> None:
        # Asked before anything is set: in a pooler's session it would stay set for its clients.
        row = self.row(WHO.format(superuser=SUPERUSER))
        wanted = "on" if self.read_only else "off"
        if row is None or row.pid != self.pid or row.read_only != wanted:
            self.close()
            raise Unreachable(
                f"the {self.side} ({shown(conninfo)}) is reached through a pooler, which loses what "
                "migrator sets for its sessions",
                hint="give the server's own address",
                side=self.side,
            )
        # What startup options cannot carry: settings of newer versions, and those only a superuser sets.
        known = {**PINNED_SINCE, **(PINNED_BY_SUPERUSER if row.superuser else {})}
        pinned = [pin for feature, pin in known.items() if has(self.version, feature)]
        self.execute(PIN, [[name for name, _ in pinned], [value for _, value in pinned]])

    def execute(self, query: Query, params: Params = None, *, often: bool = False) -> psycopg.Cursor[Any]:
        """Run one statement; every statement of migrator passes here.

        One that is run ``often`` is prepared, so that the server plans it once.
        """
        try:
            return self.connection.execute(query, params, prepare=often)
        except psycopg.Error as error:
            raise translate(error, self.side) from error

    def rows(self, query: Query, params: Params = None) -> list[Any]:
        """Return all rows as named tuples."""
        return self.execute(query, params).fetchall()

    def row(self, query: Query, params: Params = None) -> Any | None:
        """Return the first row as a named tuple, or None."""
        return self.execute(query, params).fetchone()

    def value(self, query: Query, params: Params = None) -> Any:
        """Return the first column of the first row, or None when there is no row."""
        row = self.row(query, params)
        return None if row is None else row[0]

    @contextmanager
    def together(self) -> Iterator[None]:
        """Send the block's statements at once, as one transaction; on leaving, all have been answered."""
        try:
            with self.connection.pipeline():
                yield
        except psycopg.Error as error:
            raise translate(error, self.side) from error

    @property
    def is_open(self) -> bool:
        """Return whether the session can still be used."""
        return not self.connection.closed

    def parameters(self) -> dict[str, Any]:
        """Return how the session is connected, after libpq has resolved services, passfiles and hosts.

        Raises ConnectionLost when it is not any more.
        """
        info = self.connection.info
        try:
            return {
                **info.get_parameters(),
                "host": info.host,
                "address": info.hostaddr,
                "port": info.port,
                "user": info.user,
                "password": info.password,
                "dbname": info.dbname,
            }
        except psycopg.Error as error:
            raise translate(error, self.side) from error

    @property
    def pid(self) -> int:
        """Return the process id of our backend on the server."""
        return self.connection.info.backend_pid

    @property
    def version(self) -> int:
        """Return ``server_version_num``."""
        return self.connection.info.server_version

    def cancel(self) -> None:
        """Make the server, if it is still there, stop the statement that another thread runs through this."""
        with suppress(psycopg.OperationalError):
            self.connection.cancel_safe()

    def close(self) -> None:
        """End the session."""
        self.connection.close()

    def __enter__(self) -> Self:
        """Return the session itself."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the session."""
        self.close()


class WriteSession(ReadSession):
    """A session that may write; autocommit unless inside ``transaction``."""

    read_only = False

    def run(self, query: Query, params: Params = None, *, often: bool = False) -> int:
        """Run a statement that changes something; return the number of rows it touched."""
        return self.execute(query, params, often=often).rowcount

    def script(self, text: str) -> None:
        """Run several statements, given as text made by PostgreSQL's own tools, in one message."""
        self.execute(text)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit on leaving, roll back on an error."""
        try:
            with self.connection.transaction():
                yield
        except psycopg.Error as error:
            raise translate(error, self.side) from error

    @contextmanager
    def bounded(self, lock_timeout: float) -> Iterator[None]:
        """Wait at most ``lock_timeout`` seconds for any lock, and be the victim of any deadlock.

        The deadlock check runs in whoever's ``deadlock_timeout`` fires first and cancels that one
        (documentation 19.12): a short one makes it us, never the application. Only a superuser may
        shorten it. It is one check per wait: of a deadlock that closes after ours the other side
        would be the victim, so every wait ends before the server's ``deadlock_timeout`` does.
        """
        self.execute(BOUND.format(superuser=SUPERUSER), [int(lock_timeout * 1000)])
        try:
            yield
        finally:
            if not self.connection.closed:
                self.execute("select set_config('lock_timeout', '0', false)")
