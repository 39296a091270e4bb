"""Lead clients by haproxy's runtime API: the one server ready, the other in maintenance, its sessions shut.

The clients' connections break and come back on the other side; haproxy has nothing that would hold
them. What the runtime API says ends with the process: haproxy's own file, or its server state file, must
be made to say the same before its next restart, and that is the operator's.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from migrator.errors import GateClosed, ToolFailed, Unreachable
from migrator.routers.proof import prove

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.config_router import HaproxyRouterSection
    from migrator.context import ReadContext, Roles, Side, WriteContext

# Bits of srv_admin_state: forced, inherited and resolver's maintenance (management guide, 9.3,
# "show servers state").
MAINTENANCE = 0x01 | 0x02 | 0x20


class HaproxyRouter:
    """Talk to the runtime APIs, each command over a connection of its own, as they want it."""

    instant = True

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Make sure of the sockets, their level, the servers, and where they lead now."""
        options = ctx.config.router.haproxy
        publisher, subscriber = _server(options, roles.publisher), _server(options, roles.subscriber)
        for address in options.sockets:
            level = _ask(options, address, "show cli level")
            if level != "admin":
                raise GateClosed(
                    f"haproxy at {address}: its socket is of level {level!r}",
                    hint=f"have its configuration say: stats socket {address} level admin",
                )
            states = _states(options, address)
            for name, wanted in ((publisher, False), (subscriber, True)):
                if name not in states:
                    raise GateClosed(
                        f"haproxy at {address}: backend {options.backend} has no server {name}; "
                        f"it has {', '.join(states) or 'none'}",
                        hint="set router.haproxy.backend, source_server and destination_server",
                    )
                if states[name] != wanted:
                    state = "maint" if wanted else "ready"
                    raise GateClosed(
                        f"haproxy at {address}: server {options.backend}/{name} must be in state {state}",
                        hint=f"set server {options.backend}/{name} state {state}",
                    )
        prove(ctx, roles.publisher, options.probe_urls, options.timeout, patient=False)

    def prepare(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to prepare."""

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """Leave it to the fence."""

    def resume(self, ctx: WriteContext, roles: Roles) -> None:
        """Have nothing to let go."""

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Leave it to the fence."""

    def switch(self, ctx: WriteContext, roles: Roles, then: Callable[[], object]) -> None:
        """Exchange the two servers' states, shut the old sessions down, and prove it."""
        options = ctx.config.router.haproxy
        publisher, subscriber = _server(options, roles.publisher), _server(options, roles.subscriber)
        for address in options.sockets:
            # In this order a client that comes back always finds a server.
            for command in (
                f"set server {options.backend}/{subscriber} state ready",
                f"set server {options.backend}/{publisher} state maint",
                f"shutdown sessions server {options.backend}/{publisher}",
            ):
                if said := _ask(options, address, command):
                    raise ToolFailed(
                        f"haproxy at {address}: {command}: {said}",
                        hint="mend it, then run the same command again; "
                        f"the {roles.publisher} stays fenced until then",
                    )
            states = _states(options, address)
            if (states.get(publisher), states.get(subscriber)) != (True, False):
                raise ToolFailed(
                    f"haproxy at {address} did not keep the states that its servers were given",
                    hint="look at show servers state, then run the same command again",
                )
        then()
        ctx.note(
            f"haproxy leads to {options.backend}/{subscriber}; "
            "have its configuration say the same before its next restart"
        )
        prove(ctx, roles.subscriber, options.probe_urls, options.timeout)

    def release(self) -> None:
        """Have nothing open."""


def _server(options: HaproxyRouterSection, side: Side) -> str:
    return options.source_server if side == "source" else options.destination_server


def _states(options: HaproxyRouterSection, address: str) -> dict[str, bool]:
    """Return the backend's servers, and whether each is in maintenance."""
    answer = _ask(options, address, f"show servers state {options.backend}")
    # A version, a line of names behind a hash, then a line for each server.
    _version, _, table = answer.partition("\n")
    names, *lines = table.splitlines() or [""]
    if not names.startswith("#"):
        raise GateClosed(
            f"haproxy at {address}: backend {options.backend}: {answer}", hint="set router.haproxy.backend"
        )
    rows = [dict(zip(names.lstrip("# ").split(), line.split(), strict=False)) for line in lines if line]
    return {row["srv_name"]: bool(int(row["srv_admin_state"]) & MAINTENANCE) for row in rows}


def _ask(options: HaproxyRouterSection, address: str, command: str) -> str:
    try:
        with _connect(address, options.timeout) as connection:
            connection.settimeout(options.timeout)
            connection.sendall(f"{command}\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
    except (OSError, ValueError) as error:
        raise Unreachable(
            f"haproxy at {address} cannot be reached: {error}",
            hint="let router.haproxy.sockets be its stats sockets; then run the same command again",
        ) from error
    return answer.decode(errors="replace").strip()


def _connect(address: str, timeout: float) -> socket.socket:
    if not address.startswith("/"):
        host, _, port = address.rpartition(":")
        return socket.create_connection((host.strip("[]"), int(port)), timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.settimeout(timeout)
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


ROUTER = HaproxyRouter
