"""Fences keep writers out before the hand-over takes its locks, which prove it. One file per kind.

The context's source is the side that gives its writes away, whichever way it goes. What a fence does is
committed by itself, so it is undone when the hand-over is backed out, and by the next run when it was killed;
once the cutover is committed, when that side takes writes again. Each method may be called again.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import ReadContext, WriteContext


class Fence(Protocol):
    """What a switchover needs of a fence, in the order in which it asks for it."""

    def probe(self, ctx: ReadContext) -> None:
        """Make sure beforehand that the fence can do all it will be asked; change nothing.

        Raises MigratorError saying what is missing.
        """

    def prepare(self, ctx: WriteContext) -> None:
        """Do what takes time right before ``keep_out``, while nobody is kept out."""

    def keep_out(self, ctx: WriteContext, number: int, timeout: float) -> bool:
        """Keep writers out of the source, for the switchover of that number; return whether it does anything.

        Raises MigratorError after ``timeout`` seconds, or when it fails; ``let_in`` follows.
        """

    def let_in(self, ctx: WriteContext) -> None:
        """Undo whatever any kind of fence has left on the source, unless its cutover is committed there."""

    def release(self) -> None:
        """Close what the fence has kept open."""


def load(kind: str) -> Fence:
    """Return a new fence of that kind: ``FENCE`` in ``migrator/fences/{kind}.py`` makes it."""
    module = importlib.import_module(f"migrator.fences.{kind}")
    make: Callable[[], Fence] = module.FENCE
    return make()
