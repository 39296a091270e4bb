"""What is asked of one pgbouncer's admin console."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from migrator.errors import GateClosed, StatementFailed, TimedOut
from migrator.routers.pgbouncer_ini import Target

if TYPE_CHECKING:
    from migrator.config_router import PgbouncerRouterSection
    from migrator.pg.pooler import PoolerSession, Row

INTERVAL = 0.005
NOT_PAUSED = "is not paused"
BY_HAND = "RESUME the database there by hand, or run the same command again"
# A login that PAUSE cuts short counts as failed, and after one pgbouncer lets all clients wait for
# server_login_retry, 15 s by default. Seconds, while the hand-over lasts.
LOGIN_RETRY = "server_login_retry"
QUICK = "0.001"


def deadline(options: PgbouncerRouterSection) -> float:
    """Return when an answer that is asked for now must be there."""
    return time.monotonic() + options.timeout


def command(verb: str, options: PgbouncerRouterSection) -> str:
    """Return a command on the database."""
    return '{} "{}"'.format(verb, options.database.replace('"', '""'))


def entry_of(console: PoolerSession, options: PgbouncerRouterSection) -> Row:
    """Return what ``SHOW DATABASES`` says of the database. Raises GateClosed where it is not there."""
    for row in console.ask("SHOW DATABASES", deadline(options)):
        if row["name"] == options.database:
            return row
    raise GateClosed(
        f"{console.where} knows no database {options.database!r}",
        hint="let router.pgbouncer.database be the name of a line in its [databases]",
    )


def login_retry(console: PoolerSession, options: PgbouncerRouterSection) -> str:
    """Return how long pgbouncer waits after a login that failed."""
    rows = console.ask("SHOW CONFIG", deadline(options))
    return next((row["value"] or "" for row in rows if row["key"] == LOGIN_RETRY), "")


def in_force(entry: Row) -> Target:
    """Return where an entry of ``SHOW DATABASES`` leads."""
    return Target(entry["host"] or "", entry["port"] or "", entry["database"] or "")


def require_admin(console: PoolerSession, options: PgbouncerRouterSection) -> None:
    """Make sure that we may do more than look. Raises GateClosed."""
    # Resuming what is not paused does nothing, and is answered only to one of admin_users.
    try:
        console.ask(command("RESUME", options), deadline(options))
    except StatementFailed as error:
        if NOT_PAUSED not in error.message:
            raise GateClosed(
                error.message, hint="let the user of router.pgbouncer.admin_urls be one of its admin_users"
            ) from error


def await_target(console: PoolerSession, options: PgbouncerRouterSection, wanted: Target) -> None:
    """Wait until the database leads to ``wanted``. Raises TimedOut."""
    end = deadline(options)
    while (now := in_force(entry_of(console, options))) != wanted:
        if time.monotonic() > end:
            raise TimedOut(
                f"{console.where} was reloaded and still leads to {now}, not to {wanted}; its log says why",
                hint="run the same command again",
            )
        time.sleep(INTERVAL)


def resume(console: PoolerSession, options: PgbouncerRouterSection) -> None:
    """RESUME the database; does nothing where it is not paused."""
    try:
        console.ask(command("RESUME", options), deadline(options))
    except StatementFailed as error:
        if NOT_PAUSED not in error.message:
            raise
