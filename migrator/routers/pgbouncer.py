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

from migrator.errors import GateClosed, MigratorError, TimedOut, ToolFailed
from migrator.pg.activity import name_sessions
from migrator.pg.pooler import PoolerSession, Row, as_client
from migrator.routers import files
from migrator.routers.pgbouncer_console import (
    BY_HAND,
    LOGIN_RETRY,
    QUICK,
    await_target,
    command,
    deadline,
    entry_of,
    in_force,
    login_retry,
    require_admin,
    resume,
)
from migrator.routers.pgbouncer_ini import Target, retarget, target_of
from migrator.routers.proof import prove
from migrator.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.config_router import PgbouncerRouterSection
    from migrator.context import ReadContext, Roles, Side, WriteContext


class PgbouncerRouter:
    """Talk to the admin consoles; each stays open from its first use on."""

    instant = True

    def __init__(self) -> None:
        self._open: dict[str, PoolerSession] = {}
        self._login_retry: dict[str, str] = {}
        self._staged: dict[Path, tuple[str, str]] = {}
        self._watchdog = Watchdog()

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Make sure of the consoles, the right to use them, the files, and where they lead now."""
        options = ctx.config.router.pgbouncer
        targets = {_in_file(path, options.database) for path in _paths(options)}
        for path in _paths(options):
            files.require_replaceable(path)
            retarget(files.read(path), options.database, _wanted(ctx, roles.subscriber))
        for console in self._consoles(ctx):
            entry = entry_of(console, options)
            if entry["paused"] == "1":
                raise GateClosed(f"{console.where}: {options.database!r} is paused", hint=BY_HAND)
            require_admin(console, options)
            if in_force(entry) not in targets:
                raise GateClosed(
                    f"{console.where} leads {options.database!r} to {in_force(entry)}, its file to "
                    f"{', '.join(map(str, targets))}",
                    hint="RELOAD it, or let router.pgbouncer.config_file be the file that it reads",
                )
        prove(ctx, roles.publisher, _clients(ctx, roles.publisher), options.timeout, patient=False)

    def prepare(self, ctx: WriteContext, roles: Roles) -> None:
        """Write the new file beside the old one, and have somebody see to RESUME should we die."""
        options = ctx.config.router.pgbouncer
        self._stage(ctx, roles)
        if not self._watchdog.start(options.admin_urls, command("RESUME", options), ctx.names.application):
            ctx.note(f"no watchdog can be started: should this process be killed now, {BY_HAND}")
        self._quicken(ctx)

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """PAUSE the database everywhere at once. Raises TimedOut naming who is in the way."""
        consoles = self._consoles(ctx)
        try:
            end = time.monotonic() + timeout
            for console in consoles:
                console.send(command("PAUSE", ctx.config.router.pgbouncer))
            for console in consoles:
                console.answer(end)
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
        self._watchdog.dismiss()
        self._calm(ctx)
        self._staged.clear()
        for path in _paths(ctx.config.router.pgbouncer):
            with suppress(OSError):
                files.discard(path)

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Leave it to PAUSE and the fence."""

    def switch(self, ctx: WriteContext, roles: Roles, then: Callable[[], object]) -> None:
        """Rewrite the line, RELOAD, wait until it is in force, RESUME, and prove it."""
        options = ctx.config.router.pgbouncer
        wanted = _wanted(ctx, roles.subscriber)
        consoles = self._consoles(ctx)
        with self._kept_if_it_fails(ctx, roles):
            # What was staged before PAUSE, as long as nobody has changed the file since.
            self._stage(ctx, roles)
            changed = list(self._staged)
            for path in changed:
                files.put(path)
                del self._staged[path]
            for console in consoles:
                console.ask("RELOAD", deadline(options))
            for console in consoles:
                await_target(console, options, wanted)
            # At once: a client that comes between RELOAD and RESUME starts a login that is cut short.
            self._let_go(ctx)
            then()
            self._quicken(ctx)
            prove(ctx, roles.subscriber, _clients(ctx, roles.subscriber), options.timeout)
            self._watchdog.dismiss()
            self._calm(ctx)
            for path in changed:
                files.settle(path)

    def release(self) -> None:
        """Close the consoles; what is held stays so, as whoever has failed has said."""
        self._watchdog.dismiss()
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

    def _stage(self, ctx: ReadContext, roles: Roles) -> None:
        """Write what each file is to hold beside it, unless that is there, or there is nothing to change."""
        options = ctx.config.router.pgbouncer
        wanted = _wanted(ctx, roles.subscriber)
        for path in _paths(options):
            text = files.read(path)
            change = (text, retarget(text, options.database, wanted))
            if text == change[1]:
                self._staged.pop(path, None)
            elif self._staged.get(path) != change:
                try:
                    files.stage(path, change[1], backup=f"{path.name}.before-{roles.subscriber}")
                except OSError as error:
                    raise ToolFailed(
                        f"{path} cannot be replaced: {error}", hint="mend it, then run the same command again"
                    ) from error
                self._staged[path] = change

    def _let_go(self, ctx: ReadContext) -> None:
        options = ctx.config.router.pgbouncer
        failed: list[str] = []
        for url in options.admin_urls:
            try:
                resume(self._console(ctx, url), options)
            except MigratorError as error:
                failed.append(error.message)
        if failed:
            raise ToolFailed(f"pgbouncer may hold {options.database!r}: {'; '.join(failed)}", hint=BY_HAND)

    def _quicken(self, ctx: ReadContext) -> None:
        """Let no failed login delay the next one, until ``_calm``."""
        options = ctx.config.router.pgbouncer
        for url in options.admin_urls:
            console = self._console(ctx, url)
            retry = login_retry(console, options)
            if retry != QUICK:
                self._login_retry[url] = retry
                console.ask(f"SET {LOGIN_RETRY} = '{QUICK}'", deadline(options))

    def _calm(self, ctx: ReadContext) -> None:
        """Set back what ``_quicken`` set; what a killed run has left, the file knows."""
        options = ctx.config.router.pgbouncer
        for url in options.admin_urls:
            console = self._console(ctx, url)
            if login_retry(console, options) == QUICK:
                retry = self._login_retry.get(url)
                console.ask(f"SET {LOGIN_RETRY} = '{retry}'" if retry else "RELOAD", deadline(options))

    def _busy(self, ctx: ReadContext) -> list[int]:
        """Return the process ids of the server's sessions that keep PAUSE from its end."""
        options = ctx.config.router.pgbouncer
        rows: list[Row] = []
        with suppress(MigratorError):
            for console in self._consoles(ctx):
                rows += console.ask("SHOW SERVERS", deadline(options))
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
                    self._console(ctx, url).ask("RELOAD", deadline(options))
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


def _in_file(path: Path, database: str) -> Target:
    try:
        return target_of(files.read(path), database)
    except OSError as error:
        raise GateClosed(
            f"{path} cannot be read: {error.strerror}", hint="set router.pgbouncer.config_file"
        ) from error
    except GateClosed as error:
        raise GateClosed(f"{path}: {error.message}", hint=error.hint) from error


def _wanted(ctx: ReadContext, side: Side) -> Target:
    options = ctx.config.router.pgbouncer
    address = options.source_address if side == "source" else options.destination_address
    host, _, port = address.rpartition(":")
    info = ctx.reader(side).connection.info
    return Target(host.strip("[]") or info.host, port or str(info.port), ctx.server(side).database)


def _clients(ctx: ReadContext, side: Side) -> Iterator[str]:
    options = ctx.config.router.pgbouncer
    if options.probe_urls:
        yield from options.probe_urls
    else:
        for url in options.admin_urls:
            yield as_client(url, options.database, ctx.reader(side))


ROUTER = PgbouncerRouter
