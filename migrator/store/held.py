"""Rows that are written a moment later, many in one transaction."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from migrator.errors import MigratorError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Key = tuple[int, str, int]
Rows = dict[Key, dict[str, Any]]

SECONDS = 0.2


class Held:
    """Values by key, the latest of each; ``write`` gets them ``SECONDS`` after the first at the latest.

    A commit for each would hold up what they tell of: of ten thousand small tables, the copy itself.
    """

    def __init__(self, write: Callable[[Rows], None]) -> None:
        self._write = write
        self._rows: Rows = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def put(self, key: Key, values: Mapping[str, Any]) -> None:
        """Take values in, over those that the key has."""
        with self._lock:
            self._rows[key] = {**self._rows.get(key, {}), **values}
            if self._timer is None:
                self._timer = threading.Timer(SECONDS, self._in_time)
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Write what there is; what cannot be written is kept."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            rows, self._rows = self._rows, {}
            if rows:
                try:
                    self._write(rows)
                except BaseException:
                    self._rows = rows
                    raise

    def _in_time(self) -> None:
        # Nobody hears an error here: the rows are kept, and the next to flush is told.
        with suppress(MigratorError):
            self.flush()
