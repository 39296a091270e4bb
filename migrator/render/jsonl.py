"""Show every event as one JSON object per line."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TextIO

from migrator.render.renderer import Line, Renderer

if TYPE_CHECKING:
    from migrator.events import Event


def encode(value: Any) -> str:
    """Return ``value`` as one line of JSON, dataclasses and moments included."""
    return json.dumps(value, default=_plain)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)


class JsonLines(Renderer):
    """Write events for machines."""

    def __init__(self, stream: TextIO) -> None:
        self._line = Line(stream)

    def handle(self, event: Event) -> None:
        """Show one event."""
        self._line(encode(event.as_dict()))
