"""The contract of a renderer, and the choice of one."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.events import Event


class Renderer:
    """Show events while a command works. An unknown event becomes a generic line."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Leave nothing of the work in progress on the screen."""

    def handle(self, event: Event) -> None:
        """Show one event."""
        raise NotImplementedError

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the screen alone for as long as a question is asked."""
        yield


def choose(as_json: bool, stream: TextIO, *, live: bool = True, verbose: bool = False) -> Renderer:
    """Return the renderer for ``stream``: JSON lines, live on a terminal, plain lines elsewhere.

    ``live`` is false for commands that answer at once, which need not load a live display.
    """
    if as_json:
        from migrator.render.jsonl import JsonLines

        return JsonLines(stream)
    if live and stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        from migrator.render.live import Live

        return Live(stream, verbose=verbose)
    from migrator.render.plain import Plain

    return Plain(stream, verbose=verbose)


class Line:
    """Write whole lines to a stream until nobody reads it; work goes on unwatched then."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._gone = False

    def __call__(self, text: str) -> None:
        """Write one line."""
        if self._gone:
            return
        try:
            self._stream.write(f"{text}\n")
            self._stream.flush()
        except BrokenPipeError:
            self._gone = True
