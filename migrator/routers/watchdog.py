"""Let clients go again when migrator dies while it holds them back.

A small process of its own, in a session of its own, that Ctrl-C in the terminal does not reach. It is told
through its standard input which statements to run at which consoles, and connects. When that input ends
without a word the process that held it is dead: it runs them. Whoever lives on lets go himself and says so.
"""

from __future__ import annotations

import json
import select
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from migrator.errors import MigratorError, StatementFailed
from migrator.pg.pooler import PoolerSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

READY = b"ready\n"
ALL_IS_WELL = b"."
START_TIMEOUT = 10.0
# How long one that does not answer is tried, and how long for one answer; seconds.
PATIENCE = 60.0
ANSWER = 5.0
AGAIN = 0.2


class Watchdog:
    """The process, from ``start`` to ``dismiss``; both do nothing when there is nothing to do."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        """Dismiss it."""
        self.dismiss()

    def start(self, consoles: Sequence[str], statement: str, application: str) -> bool:
        """Have it watch from now on, and return whether it does. It connects before anything is held."""
        if self._process is not None and self._process.poll() is None:
            return True
        self.dismiss()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "migrator.routers.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        told = json.dumps({"consoles": list(consoles), "statement": statement, "application": application})
        if self._process.stdin is None or self._process.stdout is None:
            raise AssertionError("unreachable: both are pipes")
        with suppress(BrokenPipeError):
            self._process.stdin.write(told.encode() + b"\n")
            self._process.stdin.flush()
        answered, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT)
        if answered and self._process.stdout.readline() == READY:
            return True
        self.dismiss()
        return False

    def dismiss(self) -> None:
        """Tell it that all is well; it ends by itself."""
        process, self._process = self._process, None
        if process is None or process.stdin is None or process.stdout is None:
            return
        with suppress(OSError):
            process.stdin.write(ALL_IS_WELL)
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        process.stdout.close()
        try:
            process.wait(ANSWER)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def watch() -> None:
    """Be that process."""
    told = json.loads(sys.stdin.buffer.readline())
    left = {url: _open(url, told["application"]) for url in told["consoles"]}
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    if sys.stdin.buffer.read(1) == ALL_IS_WELL:
        return
    deadline = time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        for url, session in list(left.items()):
            try:
                if not session.is_ready:
                    left[url] = session = _open(url, told["application"])
                session.ask(told["statement"], time.monotonic() + ANSWER)
            except StatementFailed:
                del left[url]  # it is not paused
            except MigratorError:
                continue
            else:
                del left[url]
        time.sleep(AGAIN if left else 0)


def _open(url: str, application: str) -> PoolerSession:
    return PoolerSession.open(url, application=application, timeout=ANSWER)


if __name__ == "__main__":
    watch()
