"""Let clients go again when migrator dies while it holds them back.

A small process of its own, in a session of its own, that Ctrl-C in the terminal does not reach. It is told
through its standard input which statement to run at which consoles, or on which server, and connects. When
that input ends without a word the process that held it is dead: it runs it. Whoever lives on lets go himself
and says so.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, Self

from migrator.errors import MigratorError, StatementFailed
from migrator.pg.conninfo import impatient
from migrator.pg.pooler import PoolerSession
from migrator.pg.session import WriteSession

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

READY = b"ready\n"
HELD = b"!"
ALL_IS_WELL = b"."
START_TIMEOUT = 10.0
# How long one that does not answer is tried, and how long for one answer; seconds.
PATIENCE = 60.0
SERVER_PATIENCE = 600.0
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
        return self._start(consoles=list(consoles), statement=statement, application=application)

    def start_on_server(self, conninfo: str, statement: str, application: str, *, within: float) -> bool:
        """Have it watch with a statement for a server, which is run until it succeeds.

        From ``hold`` on it waits ``within`` seconds only, for the case that we stand still.
        """
        return self._start(server=conninfo, statement=statement, application=application, within=within)

    def hold(self) -> None:
        """Tell it that somebody is held back from now on."""
        self._say(HELD)

    def dismiss(self) -> None:
        """Tell it that all is well; it ends by itself."""
        self._say(ALL_IS_WELL)
        process = self._let_go()
        if process is None:
            return
        try:
            process.wait(ANSWER)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def leave(self) -> None:
        """Leave it alone, as a dead process would: it goes on trying where it does not succeed at once."""
        process = self._let_go()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(ANSWER)

    def _start(self, **told: Any) -> bool:
        if self._process is not None and self._process.poll() is None:
            return True
        self.dismiss()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "migrator.watchdog"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        if self._process.stdout is None:
            raise AssertionError("unreachable: it is a pipe")
        self._say(json.dumps(told).encode() + b"\n")
        answered, _, _ = select.select([self._process.stdout], [], [], START_TIMEOUT)
        if answered and self._process.stdout.readline() == READY:
            return True
        self.dismiss()
        return False

    def _say(self, word: bytes) -> None:
        if self._process is not None and self._process.stdin is not None:
            with suppress(OSError):
                self._process.stdin.write(word)
                self._process.stdin.flush()

    def _let_go(self) -> subprocess.Popen[bytes] | None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None and process.stdout is not None:
            with suppress(OSError):
                process.stdin.close()
            process.stdout.close()
        return process


class _Door(Protocol):
    """Where the statement is to be run."""

    def run(self) -> bool:
        """Run it; return False when it is to be tried again."""


class _Console:
    def __init__(self, url: str, statement: str, application: str) -> None:
        self._url, self._statement, self._application = url, statement, application
        self._session = self._open()

    def run(self) -> bool:
        try:
            if not self._session.is_ready:
                self._session = self._open()
            self._session.ask(self._statement, time.monotonic() + ANSWER)
        except StatementFailed:
            return True  # it is not paused
        except MigratorError:
            return False
        return True

    def _open(self) -> PoolerSession:
        return PoolerSession.open(self._url, application=self._application, timeout=ANSWER)


class _Server:
    def __init__(self, conninfo: str, statement: str, application: str) -> None:
        self._conninfo, self._statement, self._application = conninfo, statement, application
        self._session = self._open()

    def run(self) -> bool:
        try:
            if not self._session.is_open:
                self._session = self._open()
            self._session.run(self._statement)
        except MigratorError:
            return False
        return True

    def _open(self) -> WriteSession:
        conninfo = impatient(self._conninfo, ANSWER)
        return WriteSession.open(conninfo, side="publisher", application=self._application)


def watch() -> None:
    """Be that process."""
    told = json.loads(sys.stdin.buffer.readline())
    statement, application = told["statement"], told["application"]
    left: list[_Door] = [_Console(url, statement, application) for url in told.get("consoles", [])]
    if "server" in told:
        left.append(_Server(told["server"], statement, application))
    sys.stdout.buffer.write(READY)
    sys.stdout.buffer.flush()
    if _is_all_well(told.get("within")):
        return
    deadline = time.monotonic() + (SERVER_PATIENCE if "server" in told else PATIENCE)
    while left and time.monotonic() < deadline:
        left = [door for door in left if not door.run()]
        time.sleep(AGAIN if left else 0)


def _is_all_well(within: float | None) -> bool:
    """Wait for the word, or for the end of who would give it; from ``HELD`` on so many seconds only."""
    patience = None
    while select.select([sys.stdin], [], [], patience)[0]:
        word = os.read(sys.stdin.fileno(), 1)
        if word != HELD:
            return word == ALL_IS_WELL
        patience = within
    return False


if __name__ == "__main__":
    watch()
