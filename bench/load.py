"""Small transactions on the mixed database at a given rate, and a watch on how late they arrive."""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import psycopg

# One row and one commit each, on tables that are being copied.
TRANSACTIONS = {
    "insert into events values (nextval('load_ids'), now(), 'load', '{\"by\": \"pgbench\"}');": 4,
    "update customers set balance = balance + 1 where id = :id;": 3,
    "update orders set status = 'sent' where id = :id;": 3,
}
PREPARE = """
create sequence load_ids start 1000000000;
create table beat (id int primary key, at timestamptz not null);
insert into beat values (1, clock_timestamp());
"""
BEAT = "update beat set at = clock_timestamp()"
LATE = "select extract(epoch from clock_timestamp() - at)::float8 from beat"
PROGRESS = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps, .*?(\d+) failed", re.MULTILINE)
EVERY = 0.1
LAG, STAYS = 1.0, 5.0
PATIENCE = 600.0


def prepare(url: str) -> None:
    """Give the source what the load needs: numbers for new rows, and the row that beats."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PREPARE)


@dataclass(frozen=True)
class Reached:
    """What pgbench did until now."""

    tps: float
    failed: int


class Load:
    """pgbench, at ``per_second`` on a database, from entering to leaving."""

    def __init__(self, pgbench: Path, url: str, per_second: int, rows: int) -> None:
        self._program, self._url = pgbench, url
        self._options = ["-n", "-c4", "-j1", f"-R{per_second}", "-T86400", "-P1", f"-Drows={rows}"]

    def __enter__(self) -> Self:
        """Begin, and wait until it goes on at its rate."""
        self._scripts = tempfile.TemporaryDirectory(prefix="bench-load-")
        words = [str(self._program), *self._options]
        for number, (statement, weight) in enumerate(TRANSACTIONS.items()):
            script = Path(self._scripts.name, f"{number}.sql")
            script.write_text(f"\\set id random(1, :rows)\n{statement}\n")
            words += ["-f", f"{script}@{weight}"]
        self._said = Path(self._scripts.name, "said")
        with self._said.open("w") as said:
            self._process = subprocess.Popen([*words, self._url], stdout=subprocess.DEVNULL, stderr=said)
        time.sleep(3)
        return self

    def __exit__(self, *_exc: object) -> None:
        """End it."""
        self._process.terminate()
        self._process.wait()
        self._scripts.cleanup()

    def reached(self) -> Reached:
        """Return the mean rate so far, the first second aside, and what failed for good."""
        said = self._said.read_text()
        if self._process.poll() is not None:
            raise SystemExit(f"pgbench ended: {said[-2000:]}")
        seen = PROGRESS.findall(said)[1:]
        if not seen:
            raise SystemExit(f"pgbench tells no progress: {said[-2000:]}")
        failed = sum(int(number) for *_, number in seen) + said.count(" aborted")
        return Reached(round(sum(float(tps) for _, tps, _ in seen) / len(seen), 1), failed)


class Watch:
    """Write the time on the source and read it on the destination, ten times a second.

    What is read there is as late as the stream is; before there is a stream, as old as the snapshot.
    """

    def __init__(self, source: str, destination: str) -> None:
        self._urls = (source, destination)
        self._late_at = time.monotonic()
        self._last = float("inf")
        self._ending = threading.Event()
        self._threads = [threading.Thread(target=w, daemon=True) for w in (self._beat, self._look)]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """End."""
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def caught_up(self) -> float:
        """Wait until the lag has stayed small for some seconds; return when that began (monotonic)."""
        began = time.monotonic()
        while time.monotonic() < began + PATIENCE:
            since = self._late_at
            if time.monotonic() - since > STAYS:
                return since
            time.sleep(EVERY)
        raise SystemExit(f"not caught up in {PATIENCE:.0f} s; the lag is {self._last:.1f} s")

    def _beat(self) -> None:
        with psycopg.connect(self._urls[0], autocommit=True) as connection:
            while not self._ending.wait(EVERY):
                connection.execute(BEAT)

    def _look(self) -> None:
        # A lock that the copy wants is not to wait for us, nor we for it.
        options = "-c statement_timeout=500ms"
        with psycopg.connect(self._urls[1], autocommit=True, options=options) as connection:
            while not self._ending.wait(EVERY):
                self._last = float("inf")
                with contextlib.suppress(psycopg.Error):
                    row = connection.execute(LATE).fetchone()
                    self._last = float(row[0]) if row else self._last
                if self._last >= LAG:
                    self._late_at = time.monotonic()
