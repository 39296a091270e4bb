"""Turn psycopg's exceptions into ours, by SQLSTATE. The one place that does."""

from __future__ import annotations

import psycopg

from migrator.errors import ConnectionLost, MigratorError, StatementFailed, TimedOut, Unreachable
from migrator.pg.redact import redact

# SQLSTATE (PostgreSQL documentation, appendix A) → what to do next.
HINTS: dict[str, str] = {
    "25006": "the database is read-only: is it the right server, and is its fence still up?",
    "42501": "grant the migrator's role the missing right, then run the same command again",
    "53100": "free disk space on that server, then run the same command again",
    "53200": "raise max_locks_per_transaction on that server and restart it",
    "53300": "raise max_connections on that server, or close idle sessions",
    "53400": "raise the limit that the message names on that server",
    "55006": "the object is in use; wait for its user to finish, then run the same command again",
    "55P03": "a lock was not to be had; run the same command again",
}
# The server ended the session, or does not take one now; class 08 is the connection itself.
GONE = ("08", "57P01", "57P02", "57P03", "57P05")


def is_connection_loss(error: psycopg.Error) -> bool:
    """Return whether the error means that the connection, not the statement, is at fault."""
    state = error.sqlstate or ""
    broken = isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not state
    return broken or state.startswith(GONE)


def translate(error: psycopg.Error, side: str) -> MigratorError:
    """Return our error for a failed statement on ``side``, passwords taken out."""
    diagnostic = error.diag
    return translated(
        side,
        "" if is_connection_loss(error) else (error.sqlstate or "XX000"),
        (diagnostic.message_primary or str(error)).strip(),
        diagnostic.message_detail or "",
    )


def translated(side: str, sqlstate: str, text: str, detail: str = "") -> MigratorError:
    """Return our error for what a server said; without an ``sqlstate`` the connection broke by itself."""
    text = redact(text)
    message = f"{side}: {text}" + (f" ({redact(detail)})" if detail else "")
    if not sqlstate or sqlstate.startswith(GONE):
        return ConnectionLost(f"{side}: the connection was lost: {text}", hint="migrator advance", side=side)
    if sqlstate == "57014":
        return TimedOut(message, hint="migrator advance", side=side, sqlstate=sqlstate)
    return StatementFailed(
        message, hint=HINTS.get(sqlstate, "migrator advance"), side=side, sqlstate=sqlstate
    )


def unreachable(error: psycopg.Error, side: str, where: str) -> Unreachable:
    """Return our error for a server that did not let us in."""
    reason = " ".join(redact(str(error)).removeprefix("connection failed: ").split())
    return Unreachable(
        f"the {side} ({where}) cannot be reached: {reason}",
        hint=f"psql must connect from here with {side}.url; then run the same command again",
        side=side,
    )
