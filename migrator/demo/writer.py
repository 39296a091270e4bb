"""A client that keeps committing, whatever happens to the servers, and remembers what it was told.

A commit counts when its acknowledgement arrived. A connection that breaks while COMMIT is under way
leaves the outcome unknown: such a token is *in doubt*, it may be there or not.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Self

import psycopg

from migrator.demo.transactions import Connection, Transaction, order_transaction

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECONNECT = ("08", "25006", "57P", "53300")
TRY_AGAIN = ("40", "55P03", "57014")


@dataclass(frozen=True)
class Commit:
    """One acknowledged commit: its token, when (``time.monotonic``), and at which URL."""

    token: uuid.UUID
    at: float
    url: str


class Writer:
    """Several sessions that run ``transaction`` over and over, about ``per_second`` in total.

    ``route`` says the URL to write to; it is asked at every new connection, and a session connects
    anew when its connection breaks or its server refuses writes. Other failures that a client
    should expect (deadlock, lock timeout) are tried again. Anything else ends the session and is
    raised by ``stop``. With ``journal`` every acknowledged token is appended to that file.
    """

    def __init__(
        self,
        route: Callable[[], str],
        transaction: Transaction = order_transaction,
        *,
        sessions: int = 3,
        per_second: float = 200.0,
        seed: int = 0,
        journal: Path | None = None,
    ) -> None:
        self.commits: list[Commit] = []
        self.errors: Counter[str] = Counter()
        self._route = route
        self._transaction = transaction
        self._interval = sessions / per_second
        self._journal = journal.open("a", encoding="ascii") if journal else None
        self._in_doubt: dict[uuid.UUID, str] = {}
        self._recording = threading.Lock()
        self._stopping = threading.Event()
        self._connections: dict[int, Connection] = {}
        self._failures: list[psycopg.Error] = []
        self._threads = [
            threading.Thread(
                target=self._run,
                args=(n, random.Random(f"{seed}/{n}")),
                daemon=True,
                name=f"writer {n}",
            )
            for n in range(sessions)
        ]

    def __enter__(self) -> Self:
        """Start writing."""
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, *_exc: object) -> None:
        """Stop writing; a failure of ours does not hide one that is under way."""
        self.stop(check=kind is None)

    def start(self) -> Self:
        """Start all sessions."""
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, *, timeout: float = 5.0, check: bool = True) -> None:
        """Stop all sessions, after their current transaction if that ends in time.

        With ``check`` raises what ended a session early, if anything did. Stopping twice is
        stopping once.
        """
        if self._stopping.is_set():
            return
        self._stopping.set()
        deadline = time.monotonic() + timeout
        for n, thread in enumerate(self._threads):
            if not thread.is_alive():
                continue
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive() and (connection := self._connections.get(n)):
                connection.cancel_safe(timeout=timeout)
                thread.join(timeout)
        if self._journal:
            self._journal.close()
        if check and self._failures:
            raise self._failures[0]

    def wait_for(self, count: int, *, timeout: float = 30.0) -> None:
        """Wait for ``count`` more acknowledged commits; raise TimeoutError if they do not come."""
        wanted = len(self.commits) + count
        deadline = time.monotonic() + timeout
        while len(self.commits) < wanted:
            if self._failures:
                raise self._failures[0]
            if time.monotonic() > deadline:
                raise TimeoutError(f"the writer stands at {len(self.commits)}: {dict(self.errors)}")
            time.sleep(0.005)

    @property
    def is_alive(self) -> bool:
        """Return whether any session still writes."""
        return any(thread.is_alive() for thread in self._threads)

    @property
    def acknowledged(self) -> set[uuid.UUID]:
        """Return the tokens of all acknowledged commits."""
        return {commit.token for commit in list(self.commits)}

    @property
    def in_doubt(self) -> set[uuid.UUID]:
        """Return the tokens whose COMMIT was not answered."""
        return set(self._in_doubt)

    def written_to(self, url: str) -> set[uuid.UUID]:
        """Return the tokens of commits at that URL, in doubt or acknowledged."""
        doubtful = {token for token, at in list(self._in_doubt.items()) if at == url}
        return doubtful | {commit.token for commit in list(self.commits) if commit.url == url}

    @property
    def longest_pause(self) -> float:
        """Return the longest time without an acknowledgement on any session, in seconds."""
        return self.longest_pause_since(float("-inf"))

    def longest_pause_since(self, moment: float) -> float:
        """Return the longest pause that ended after ``moment`` (``time.monotonic``)."""
        times = sorted(commit.at for commit in list(self.commits))
        return max((b - a for a, b in pairwise(times) if b > moment), default=0.0)

    def pause_between(self, first_url: str, then_url: str) -> float | None:
        """Return the time from the last commit at one URL to the first at another, in seconds.

        None when either has seen none.
        """
        commits = list(self.commits)
        before = [commit.at for commit in commits if commit.url == first_url]
        after = [commit.at for commit in commits if commit.url == then_url]
        return min(after) - max(before) if before and after else None

    def report(self) -> dict[str, Any]:
        """Return what was seen, JSON-ready."""
        return {
            "acknowledged": len(self.commits),
            "in_doubt": len(self.in_doubt),
            "longest_pause_ms": round(self.longest_pause * 1000, 1),
            "errors": dict(self.errors),
        }

    def _run(self, number: int, dice: random.Random) -> None:
        turn = time.monotonic() + dice.random() * self._interval
        while not self._stopping.is_set():
            url = self._route()
            try:
                with psycopg.connect(url, connect_timeout=2, application_name="demo writer") as connection:
                    self._connections[number] = connection
                    while not self._stopping.wait(turn - time.monotonic()):
                        turn = max(turn + self._interval, time.monotonic())
                        self._transact(connection, url, dice)
            except psycopg.Error as error:
                if not self._expected(error):
                    self._failures.append(error)
                    return
                self._stopping.wait(0.005)
            finally:
                self._connections.pop(number, None)

    def _transact(self, connection: Connection, url: str, dice: random.Random) -> None:
        """Run one transaction; return for the next one, raise for a new connection."""
        token = uuid.UUID(int=dice.getrandbits(128), version=4)
        try:
            self._transaction(connection, token, dice)
        except psycopg.Error as error:
            if (error.sqlstate or "").startswith(TRY_AGAIN):
                self.errors[str(error.sqlstate)] += 1
                connection.rollback()
                return
            raise
        try:
            connection.commit()
        except psycopg.Error:
            if connection.broken:
                with self._recording:
                    self._in_doubt[token] = url
            raise
        with self._recording:
            self.commits.append(Commit(token, time.monotonic(), url))
            if self._journal:
                self._journal.write(f"{token}\n")
                self._journal.flush()

    def _expected(self, error: psycopg.Error) -> bool:
        """Count an error; return whether connecting anew is the answer to it."""
        state = error.sqlstate or ""
        # Without an SQLSTATE the connection broke, or was never made.
        lost = not state and isinstance(error, psycopg.OperationalError)
        self.errors[state or "connection lost"] += 1
        return lost or state.startswith(RECONNECT) or self._stopping.is_set()
