"""The part of ``migrator.toml`` that says how the routers are reached: ``[router.…]``, a table for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from migrator.config_convert import Duration, show
from migrator.config_values import Section, Url
from migrator.pg.conninfo import flaw

if TYPE_CHECKING:
    from collections.abc import Iterator

ConfigFiles = Annotated[
    str | tuple[str, ...],
    Meta(description="the path of a file, or a list with one for each of admin_urls, in quotes"),
]
Address = Annotated[
    str,
    Meta(pattern=r"^$|^\S+:[0-9]{1,5}\Z", description='"host:port", or "" for that of the url'),
]
Word = Annotated[
    str,
    Meta(pattern=r"^[\w.:-]*\Z", description="a name as haproxy's configuration writes it"),
]


class CommandRouterSection(Section, frozen=True):
    """The operator's own programs: each a list of words, run without a shell."""

    disable_source: tuple[str, ...] = ()
    re_route: tuple[str, ...] = ()
    timeout: Duration = Duration(60)


class PgbouncerRouterSection(Section, frozen=True):
    """The pgbouncers, by their admin consoles, and the line in their configuration that leads clients.

    ``source_address`` and ``destination_address`` say how they reach the servers; ``probe_urls``, one
    for each, how a client comes through them.
    """

    admin_urls: tuple[Url, ...] = ()
    config_file: ConfigFiles = "/etc/pgbouncer/pgbouncer.ini"
    database: str = ""
    source_address: Address = ""
    destination_address: Address = ""
    probe_urls: tuple[Url, ...] = ()
    timeout: Duration = Duration(30)

    @property
    def config_files(self) -> tuple[str, ...]:
        """Return the files as a list, whichever way they are written."""
        return (self.config_file,) if isinstance(self.config_file, str) else self.config_file


class HaproxyRouterSection(Section, frozen=True):
    """The haproxys, by their runtime APIs, and the two servers of their backend."""

    sockets: tuple[str, ...] = ()
    backend: Word = ""
    source_server: Word = ""
    destination_server: Word = ""
    probe_urls: tuple[Url, ...] = ()
    timeout: Duration = Duration(10)


class RouterSection(Section, frozen=True):
    """Options of the routers, one table each."""

    command: CommandRouterSection = CommandRouterSection()
    pgbouncer: PgbouncerRouterSection = PgbouncerRouterSection()
    haproxy: HaproxyRouterSection = HaproxyRouterSection()


def unusable_url(key: str, conninfo: str) -> Iterator[str]:
    """Yield what is wrong with a url, told by its key."""
    if wrong := flaw(conninfo):
        yield (
            f"{key} cannot be used: {wrong}; accepted is what libpq reads, with the signs @ : / ? # % "
            "and blanks of a password written %40 %3A %2F %3F %23 %25 %20 in a url, in quotes elsewhere"
        )


def unusable_router(kind: str, router: RouterSection) -> Iterator[str]:
    """Yield what the router of that kind would miss, and what is wrong with any router's urls."""
    for key, urls in (
        ("pgbouncer.admin_urls", router.pgbouncer.admin_urls),
        ("pgbouncer.probe_urls", router.pgbouncer.probe_urls),
        ("haproxy.probe_urls", router.haproxy.probe_urls),
    ):
        for number, url in enumerate(urls, 1):
            yield from unusable_url(f"router.{key}, number {number},", url)
    match kind:
        case "command" if not any(router.command.re_route[:1]):
            yield (
                f"router.command.re_route is {show(list(router.command.re_route))}; "
                'with cutover.router = "command" accepted is a program and its arguments, '
                'such as ["./re-route", "shop"]'
            )
        case "pgbouncer":
            yield from _unusable_pgbouncer(router.pgbouncer)
        case "haproxy":
            yield from _unusable_haproxy(router.haproxy)


def _unusable_pgbouncer(options: PgbouncerRouterSection) -> Iterator[str]:
    count = len(options.admin_urls)
    if not count:
        yield (
            'router.pgbouncer.admin_urls is []; with cutover.router = "pgbouncer" accepted is a list of the '
            'admin consoles, such as ["postgresql://pgbouncer@10.0.0.20:6432/pgbouncer"]'
        )
    if not options.database:
        yield (
            'router.pgbouncer.database is ""; with cutover.router = "pgbouncer" accepted is the name by '
            "which clients ask pgbouncer for the database"
        )
    if not all(file.startswith("/") for file in options.config_files) or len(options.config_files) not in {
        1,
        count,
    }:
        yield (
            f"router.pgbouncer.config_file is {show(options.config_file)}; accepted is one file, by its "
            "whole path, or a list with one for each of admin_urls"
        )
    if len(options.probe_urls) not in {0, count}:
        yield (
            f"router.pgbouncer.probe_urls holds {len(options.probe_urls)}; "
            "accepted is none, or one for each of admin_urls"
        )


def _unusable_haproxy(options: HaproxyRouterSection) -> Iterator[str]:
    if not options.sockets or not all(options.sockets):
        yield (
            f"router.haproxy.sockets is {show(list(options.sockets))}; with cutover.router = "
            '"haproxy" accepted is a list of runtime APIs, such as ["/run/haproxy/admin.sock"] or '
            '["10.0.0.20:9999"]'
        )
    for key in ("backend", "source_server", "destination_server"):
        if not getattr(options, key):
            yield (
                f'router.haproxy.{key} is ""; with cutover.router = "haproxy" accepted is the name '
                "that haproxy's configuration gives it"
            )
    if options.source_server == options.destination_server != "":
        yield (
            f"router.haproxy.destination_server is {show(options.destination_server)}, "
            "the same as source_server; accepted is another server of the backend"
        )
    if len(options.probe_urls) != len(options.sockets) or not options.probe_urls:
        yield (
            f"router.haproxy.probe_urls holds {len(options.probe_urls)}; with cutover.router = "
            '"haproxy" accepted is one for each of sockets: how a client comes through it, such as '
            '["postgresql://app@10.0.0.20:5000/shop"]'
        )
