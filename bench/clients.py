"""Clients of the cutover's bench: a process of their own that keeps committing and notes each commit.

Each transaction inserts a token of its own and updates a row in two tables. ``Pgbench`` keeps its
connections, as the clients of a pooler do; ``Reconnecting`` connects anew where it must, as those do that a
proxy cuts off or that are told of another server. A token is a number of the client and one of the
transaction; what was acknowledged is what pgbench logged, or the child wrote down.
"""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count, cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import psycopg

from bench import lab

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

ROWS = 1000
HOT = 8
PREPARE_TOKENS = """
create table tokens (
    id bigint generated always as identity primary key,
    round int not null,
    client int not null,
    number int not null
);
create index on tokens (round, client, number)
"""
TRANSACTION = """\
begin;
insert into tokens (round, client, number) values (:round, :client_id, :number);
update t:one set n = n + 1 where id = :id;
update t:other set n = n + 1, token = nextval('s:other') where id = :id;
commit;
"""
SCRIPT = f"""\
\\set number :number + 1
\\set one random(1, :hot / 2)
\\set other random(:hot / 2 + 1, :hot)
\\set id random(1, :rows)
{TRANSACTION}"""
# Seconds after which a client that was refused comes again.
AGAIN = 0.01
FOUND = "select client, number from tokens where round = %s"

Token = tuple[int, int]


@dataclass(frozen=True)
class Commit:
    """An acknowledged commit and when that was (Unix time)."""

    at: float
    token: Token


def prepare(url: str, tables: int, sequences: int) -> None:
    """Build the database: tables of which the first ones are written to, sequences likewise."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(PREPARE_TOKENS)
        for start in range(1, max(sequences, HOT) + 1, 100):
            numbers = range(start, min(start + 100, max(sequences, HOT) + 1))
            connection.execute(";".join(f"create sequence s{n}" for n in numbers).encode())
        for number in range(1, max(tables, HOT) + 1):
            rows = ROWS if number <= HOT else 10
            connection.execute(
                f"create table t{number} (id int primary key, n int not null default 0, token bigint);"
                f"insert into t{number} (id) select generate_series(1, {rows})".encode()
            )


def counted(url: str, number: int, acknowledged: Collection[Token]) -> tuple[int, int]:
    """Return how many acknowledged tokens of a round are lost, and how many tokens are there twice."""
    with psycopg.connect(url) as connection:
        found = Counter((int(client), int(n)) for client, n in connection.execute(FOUND, [number]))
    lost = sum(token not in found for token in acknowledged)
    return lost, sum(count - 1 for count in found.values())


class Pgbench:
    """pgbench, about ``tps`` transactions a second in all, from entering to leaving."""

    def __init__(self, program: Path, url: str, number: int, *, clients: int, tps: int) -> None:
        self._url, self._program = url, program
        self._options = [f"-c{clients}", "-j1", f"-R{tps}", "-T86400", "-n", "-l"]
        self._options += ["-Dnumber=0", f"-Dround={number}", f"-Dhot={HOT}", f"-Drows={ROWS}"]

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="bench-clients-")
        place = Path(self._place.name)
        (place / "script").write_text(SCRIPT)
        with (place / "said").open("w") as said:
            self._process = subprocess.Popen(
                [self._program, *self._options, "-f", "script", self._url],
                cwd=place,
                stdout=subprocess.DEVNULL,
                stderr=said,
            )
        return self

    def stop(self) -> None:
        """End the clients after their current transaction, as far as they have one."""
        # What ends ``-T``: it finishes and writes its log out, where a SIGTERM would cut that off.
        self._process.send_signal(signal.SIGALRM)
        self._process.wait(10)

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._place.cleanup()

    @property
    def failed(self) -> list[str]:
        """Return what was said of each transaction that failed."""
        said = (Path(self._place.name) / "said").read_text().splitlines()
        return [line for line in said if "aborted" in line or "ERROR" in line or "FATAL" in line]

    def commits(self) -> list[Commit]:
        """Return what was acknowledged, in the order of time."""
        return sorted(self._logged(), key=lambda commit: commit.at)

    def _logged(self) -> Iterator[Commit]:
        for log in Path(self._place.name).glob("pgbench_log.*"):
            for line in log.read_text().splitlines():
                client, number, _, _, seconds, micros, *_ = line.split()
                yield Commit(int(seconds) + int(micros) / 1e6, (int(client), int(number)))


class Reconnecting:
    """Clients that connect anew when they are cut off or refused, to the next of ``urls``.

    A process of its own, a thread for each client, so that they do not share an interpreter with the bench.
    """

    def __init__(self, urls: list[str], number: int, *, clients: int, tps: int) -> None:
        self._told = json.dumps({"urls": urls, "round": number, "clients": clients, "tps": tps})

    def __enter__(self) -> Self:
        self._place = tempfile.TemporaryDirectory(prefix="bench-clients-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.clients", self._place.name],
            cwd=lab.ROOT,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._told}\n")
        self._process.stdin.flush()
        return self

    def stop(self) -> None:
        """End the clients after their current transaction, as far as they have one."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(30)

    def __exit__(self, *_exc: object) -> None:
        self.stop()
        self._place.cleanup()

    @property
    def failed(self) -> list[str]:
        """Return what was said of each transaction that failed."""
        return [line for file in self._files("failed") for line in file.read_text().splitlines()]

    def commits(self) -> list[Commit]:
        """Return what was acknowledged, in the order of time."""
        lines = (line.split() for file in self._files("commits") for line in file.read_text().splitlines())
        return sorted(
            (Commit(float(at), (int(client), int(number))) for at, client, number in lines),
            key=lambda commit: commit.at,
        )

    def _files(self, kind: str) -> Iterator[Path]:
        return Path(self._place.name).glob(f"{kind}.*")


class Client:
    """One of those clients, in their process."""

    def __init__(self, number: int, told: dict[str, Any], place: Path, stopped: threading.Event) -> None:
        self._number, self._told, self._place, self._stopped = number, told, place, stopped
        self._dice = random.Random(number)
        self._urls = cycle(told["urls"])

    def work(self) -> None:
        """Commit at an even pace until told to stop; late ones follow at once."""
        interval = self._told["clients"] / self._told["tps"]
        due = time.monotonic() + self._dice.random() * interval
        with ExitStack() as stack:
            commits, failed = (
                stack.enter_context((self._place / f"{kind}.{self._number}").open("w"))
                for kind in ("commits", "failed")
            )
            connection: psycopg.Connection[Any] | None = None
            for number in count(1):
                if self._stopped.wait(max(0, due - time.monotonic())):
                    break
                due += interval
                try:
                    connection = connection or self._connect()
                    connection.execute(self._transaction(number))
                except psycopg.Error as error:
                    failed.write(f"{time.time():.6f} {' '.join(str(error).split())}\n")
                    if connection is not None:
                        connection.close()
                    connection = None
                    self._stopped.wait(AGAIN)
                else:
                    commits.write(f"{time.time():.6f} {self._number} {number}\n")
            if connection is not None:
                connection.close()

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(next(self._urls), autocommit=True, prepare_threshold=None)

    def _transaction(self, number: int) -> bytes:
        """Return what pgbench's script does, in one message."""
        values = {
            "round": self._told["round"],
            "client_id": self._number,
            "number": number,
            "one": self._dice.randint(1, HOT // 2),
            "other": self._dice.randint(HOT // 2 + 1, HOT),
            "id": self._dice.randint(1, ROWS),
        }
        return re.sub(r":(\w+)", lambda found: str(values[found[1]]), TRANSACTION).encode()


def main() -> None:
    """Be the clients' process: work from the first line of standard input to its end."""
    told, stopped = json.loads(sys.stdin.readline()), threading.Event()
    clients = [Client(n, told, Path(sys.argv[1]), stopped) for n in range(told["clients"])]
    threads = [threading.Thread(target=client.work) for client in clients]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stopped.set()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
