"""Routers lead the application to the side that takes the writes. One file per kind, found by its name.

Each method may be called again after a crash and must then do no harm. ``roles`` says which way it
goes: what leads forward leads back.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, Roles, WriteContext


class Router(Protocol):
    """What a switchover needs of a router, in the order in which it asks for it.

    One object serves a whole run: what takes time to open, ``probe`` opens and it keeps. One that is
    ``instant`` holds clients back or cuts them off, and leads them over within the pause.
    """

    instant: bool

    def probe(self, ctx: ReadContext, roles: Roles) -> None:
        """Make sure, before the fence, that the router can do all it will be asked; change nothing.

        It leads to the publisher now. Raises MigratorError saying what is missing.
        """

    def prepare(self, ctx: WriteContext, roles: Roles) -> None:
        """Do what takes time right before ``pause``, while nobody is held back."""

    def pause(self, ctx: WriteContext, roles: Roles, timeout: float) -> None:
        """Hold new transactions back, right before the fence, and wait for those that run.

        Raises TimedOut after ``timeout`` seconds, naming who is in the way; nothing is held then.
        """

    def resume(self, ctx: WriteContext, roles: Roles) -> None:
        """Let go, where it was: the hand-over was given up. Does nothing where nothing is held."""

    def close(self, ctx: WriteContext, roles: Roles) -> None:
        """Keep the application away from the publisher, which is fenced for good by now."""

    def switch(self, ctx: WriteContext, roles: Roles, then: Callable[[], object]) -> None:
        """Lead the application to the subscriber, which takes writes by now; let go; prove it.

        Calls ``then`` when clients can go on, before the proof.
        """

    def release(self) -> None:
        """Close what the router has kept open."""


def load(kind: str) -> Router:
    """Return a new router of that kind: ``ROUTER`` in ``migrator/routers/{kind}.py`` makes it."""
    module = importlib.import_module(f"migrator.routers.{kind}")
    make: Callable[[], Router] = module.ROUTER
    return make()
