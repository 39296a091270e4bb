"""Lead clients by pgbouncer's admin console, one or several of them, and the database's line in its file.

PAUSE holds new transactions while those that run end; the clients see a longer answer, no error. The
line gets another host, port and dbname; RELOAD brings it into force, RESUME lets go, and a query through
each pgbouncer proves where it leads. Where anything of that fails, the file as it was returns.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import GateClosed, MigratorError, StatementFailed, TimedOut, ToolFailed
from migrator.pg.activity import name_sessions
from migrator.pg.pooler import PoolerSession, Row, as_client
from migrator.routers import files
from migrator.routers.pgbouncer_ini import Target, retarget, target_of
from migrator.routers.proof import prove

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.config_router import PgbouncerRouterSection
    from migrator.context import ReadContext, Roles, Side, WriteContext

INTERVAL = 0.005
NOT_PAUSED = "is not paused"
# A login that PAUSE cuts short counts as failed, and after one pgbouncer lets all clients wait for
# server_login_retry, 15 s by default. Seconds, while the hand-over lasts.
LOGIN_RETRY = "server_login_retry"
QUICK = "0.01"
BY_HAND = "RESUME the database there by hand, or run the same command again"


class PgbouncerRouter:
    """Talk to the admin consoles; each stays open from its first use on."""

    def __init__(self) -> None:
        self._open: dict[str, PoolerSession] = {}
        self._login_retry: dict[str, str] = {}

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Make sure of the consoles, the right to use them, the files, and where they lead now."""
        options = ctx.config.router.pgbouncer
        targets = {_in_file(path, options.database) for path in _paths(options)}
        for path in _paths(options):
            files.require_replaceable(path)
            retarget(files.read(path), options.database, _wanted(ctx, roles.subscriber))
        for console in self._consoles(ctx):
            entry = _entry(console, options)
            if entry["paused"] == "1":
                raise GateClosed(f"{console.where}: {options.database!r} is paused", hint=BY_HAND)
            _require_admin(console, options)
            if _in_force(entry) not in targets:
                raise GateClosed(
                    f"{console.where} leads {options.database!r} to {_in_force(entry)}, its file to "
                    f"{', '.join(map(str, targets))}",
                    hint="RELOAD it, or let router.pgbouncer.config_file be the file that it reads",
                )
        prove(ctx, roles.publisher, _clients(ctx, roles.publisher), options.timeout, patient=False)

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """PAUSE the database everywhere at once. Raises TimedOut naming who is in the way."""
        consoles = self._consoles(ctx)
        self._quicken(ctx)
        deadline = time.monotonic() + timeout
        try:
            for console in consoles:
                console.send(_command("PAUSE", ctx.config.router.pgbouncer))
            for console in consoles:
                console.answer(deadline)
        except TimedOut as error:
            busy = self._busy(ctx)
            self.resume(ctx, roles)
            raise TimedOut(
                f"pgbouncer could not pause {ctx.config.router.pgbouncer.database!r} within {timeout:g} s, "
                f"and serves it again; in the way: {name_sessions(ctx.reader(roles.publisher), busy) or '?'}",
                hint="end those transactions, then run the same command again",
            ) from error
        except BaseException:
            self.resume(ctx, roles)
            raise

    def resume(self, ctx: WriteContext, roles: Roles) -> None:
        """RESUME the database wherever it is paused; every console is tried before any is complained of."""
        self._let_go(ctx)
        self._calm(ctx)

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Leave it to PAUSE and the fence."""

    def switch(self, ctx: WriteContext, roles: Roles) -> None:
        """Rewrite the line, RELOAD, wait until it is in force, RESUME, and prove it."""
        options = ctx.config.router.pgbouncer
        wanted = _wanted(ctx, roles.subscriber)
        consoles = self._consoles(ctx)
        with self._kept_if_it_fails(ctx, roles):
            for path in _paths(options):
                _lead(path, options.database, wanted, backup=f"{path.name}.before-{roles.subscriber}")
            for console in consoles:
                console.ask("RELOAD", _deadline(options))
            for console in consoles:
                _await(console, options, wanted)
            self._quicken(ctx)
            self._let_go(ctx)
            prove(ctx, roles.subscriber, _clients(ctx, roles.subscriber), options.timeout)
            self._calm(ctx)

    def release(self) -> None:
        """Close the consoles."""
        for console in self._open.values():
            console.close()
        self._open.clear()

    def _consoles(self, ctx: ReadContext) -> list[PoolerSession]:
        return [self._console(ctx, url) for url in ctx.config.router.pgbouncer.admin_urls]

    def _console(self, ctx: ReadContext, url: str) -> PoolerSession:
        console = self._open.get(url)
        if console is None or not console.is_ready:
            # One that still waits for its PAUSE is of no more use.
            if console is not None:
                console.close()
            timeout = ctx.config.router.pgbouncer.timeout
            console = PoolerSession.open(url, application=ctx.names.application, timeout=timeout)
            self._open[url] = console
        return console

    def _let_go(self, ctx: ReadContext) -> None:
        options = ctx.config.router.pgbouncer
        failed: list[str] = []
        for url in options.admin_urls:
            try:
                self._resume(self._console(ctx, url), options)
            except MigratorError as error:
                failed.append(error.message)
        if failed:
            raise ToolFailed(f"pgbouncer may hold {options.database!r}: {'; '.join(failed)}", hint=BY_HAND)

    def _quicken(self, ctx: ReadContext) -> None:
        """Let no failed login delay the next one, until ``_calm``."""
        options = ctx.config.router.pgbouncer
        for url in options.admin_urls:
            console = self._console(ctx, url)
            retry = _setting(console, options)
            if retry != QUICK:
                self._login_retry[url] = retry
                console.ask(f"SET {LOGIN_RETRY} = '{QUICK}'", _deadline(options))

    def _calm(self, ctx: ReadContext) -> None:
        """Set back what ``_quicken`` set; what a killed run has left, the file knows."""
        options = ctx.config.router.pgbouncer
        for url in options.admin_urls:
            console = self._console(ctx, url)
            if _setting(console, options) == QUICK:
                retry = self._login_retry.get(url)
                console.ask(f"SET {LOGIN_RETRY} = '{retry}'" if retry else "RELOAD", _deadline(options))

    def _resume(self, console: PoolerSession, options: PgbouncerRouterSection) -> None:
        if _entry(console, options)["paused"] != "1":
            return
        try:
            console.ask(_command("RESUME", options), _deadline(options))
        except StatementFailed as error:
            if NOT_PAUSED not in error.message:
                raise

    def _busy(self, ctx: ReadContext) -> list[int]:
        """Return the process ids of the server's sessions that keep PAUSE from its end."""
        options = ctx.config.router.pgbouncer
        rows: list[Row] = []
        with suppress(MigratorError):
            for console in self._consoles(ctx):
                rows += console.ask("SHOW SERVERS", _deadline(options))
        return [int(row["remote_pid"] or 0) for row in rows if row["database"] == options.database]

    @contextmanager
    def _kept_if_it_fails(self, ctx: ReadContext, roles: Roles) -> Iterator[None]:
        options = ctx.config.router.pgbouncer
        try:
            before = {path: files.read(path) for path in _paths(options)}
        except OSError as error:
            raise _unchanged(roles, str(error)) from error
        try:
            yield
        except BaseException as error:
            for path, text in before.items():
                with suppress(OSError):
                    if files.read(path) != text:
                        files.replace(path, text)
            for url in options.admin_urls:
                with suppress(MigratorError):
                    self._console(ctx, url).ask("RELOAD", _deadline(options))
            if isinstance(error, MigratorError | OSError):
                raise _unchanged(roles, getattr(error, "message", str(error))) from error
            raise


def _unchanged(roles: Roles, why: str) -> ToolFailed:
    return ToolFailed(
        f"pgbouncer does not lead to the {roles.subscriber}, its configuration is as it was: {why}",
        hint=f"mend it, then run the same command again; the {roles.publisher} stays fenced until then",
    )


def _paths(options: PgbouncerRouterSection) -> list[Path]:
    return [Path(file) for file in options.config_files]


def _deadline(options: PgbouncerRouterSection) -> float:
    return time.monotonic() + options.timeout


def _command(verb: str, options: PgbouncerRouterSection) -> str:
    return '{} "{}"'.format(verb, options.database.replace('"', '""'))


def _entry(console: PoolerSession, options: PgbouncerRouterSection) -> Row:
    for row in console.ask("SHOW DATABASES", _deadline(options)):
        if row["name"] == options.database:
            return row
    raise GateClosed(
        f"{console.where} knows no database {options.database!r}",
        hint="let router.pgbouncer.database be the name of a line in its [databases]",
    )


def _setting(console: PoolerSession, options: PgbouncerRouterSection) -> str:
    rows = console.ask("SHOW CONFIG", _deadline(options))
    return next((row["value"] or "" for row in rows if row["key"] == LOGIN_RETRY), "")


def _in_force(entry: Row) -> Target:
    return Target(entry["host"] or "", entry["port"] or "", entry["database"] or "")


def _in_file(path: Path, database: str) -> Target:
    try:
        return target_of(files.read(path), database)
    except OSError as error:
        raise GateClosed(
            f"{path} cannot be read: {error.strerror}", hint="set router.pgbouncer.config_file"
        ) from error
    except GateClosed as error:
        raise GateClosed(f"{path}: {error.message}", hint=error.hint) from error


def _require_admin(console: PoolerSession, options: PgbouncerRouterSection) -> None:
    # Resuming what is not paused does nothing, and is answered only to one of admin_users.
    try:
        console.ask(_command("RESUME", options), _deadline(options))
    except StatementFailed as error:
        if NOT_PAUSED not in error.message:
            raise GateClosed(
                error.message, hint="let the user of router.pgbouncer.admin_urls be one of its admin_users"
            ) from error


def _wanted(ctx: ReadContext, side: Side) -> Target:
    options = ctx.config.router.pgbouncer
    address = options.source_address if side == "source" else options.destination_address
    host, _, port = address.rpartition(":")
    info = ctx.reader(side).connection.info
    return Target(host.strip("[]") or info.host, port or str(info.port), ctx.server(side).database)


def _lead(path: Path, database: str, wanted: Target, *, backup: str) -> None:
    text = files.read(path)
    changed = retarget(text, database, wanted)
    if changed != text:
        files.replace(path, changed, backup=backup)


def _await(console: PoolerSession, options: PgbouncerRouterSection, wanted: Target) -> None:
    deadline = _deadline(options)
    while (now := _in_force(_entry(console, options))) != wanted:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"{console.where} was reloaded and still leads to {now}, not to {wanted}; its log says why",
                hint="run the same command again",
            )
        time.sleep(INTERVAL)


def _clients(ctx: ReadContext, side: Side) -> Iterator[str]:
    options = ctx.config.router.pgbouncer
    if options.probe_urls:
        yield from options.probe_urls
    else:
        for url in options.admin_urls:
            yield as_client(url, options.database, ctx.reader(side))


ROUTER = PgbouncerRouter
