"""Routers lead the application to the side that serves. One file per kind, found by its name.

A router's contract is three methods; each may be called again after a crash and must then do no harm.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from migrator.context import WriteContext


class Router(Protocol):
    """What the cutover needs of a router."""

    def probe(self, ctx: WriteContext) -> None:
        """Make sure, before the fence, that the router can do its work; raise StepFailed if not."""

    def close_source(self, ctx: WriteContext) -> None:
        """Keep the application away from the source, which is fenced by now."""

    def point_to_destination(self, ctx: WriteContext) -> None:
        """Lead the application to the destination, which takes writes by now."""


def load(kind: str) -> Router:
    """Return the router of that kind: ``ROUTER`` in ``migrator/routers/{kind}.py``."""
    module = importlib.import_module(f"migrator.routers.{kind}")
    router: Router = module.ROUTER
    return router
