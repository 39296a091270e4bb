"""Real PostgreSQL servers of our own: for the demo and the tests.

A server is a child process that listens on 127.0.0.1 only, in a session of its own so that Ctrl-C
in the terminal does not reach it. It ends with ``stop()``, at the latest when Python exits.
PostgreSQL refuses to run as root: then it runs as ``postgres``, or ``nobody``.
"""

from __future__ import annotations

import atexit
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Literal, LiteralString, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from migrator.demo.binaries import copy_installation, find_binaries, server_version
from migrator.demo.host import free_port, give_away, spawn_options, work_directory
from migrator.errors import ToolFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["EmbeddedServer", "find_binaries", "work_directory"]

StopMode = Literal["fast", "immediate"]

SIGNALS = {"fast": signal.SIGINT, "immediate": signal.SIGQUIT}

# The first major version that knows a setting, the setting, its value.
SETTINGS: tuple[tuple[int, str, str], ...] = (
    (10, "listen_addresses", "127.0.0.1"),
    (10, "unix_socket_directories", ""),
    (10, "wal_level", "logical"),
    (10, "max_wal_senders", "20"),
    (10, "max_replication_slots", "20"),
    (18, "max_active_replication_origins", "20"),
    (10, "max_worker_processes", "16"),
    (10, "max_logical_replication_workers", "8"),
    (10, "max_sync_workers_per_subscription", "4"),
    (10, "wal_retrieve_retry_interval", "200ms"),
    (10, "max_prepared_transactions", "5"),
    (10, "max_locks_per_transaction", "256"),
    (10, "shared_buffers", "128MB"),
    (10, "max_wal_size", "2GB"),
    (10, "timezone", "UTC"),
    (10, "log_timezone", "UTC"),
    (10, "log_min_messages", "warning"),
    (10, "log_line_prefix", "%m [%p] %q%a@%d "),
)


class EmbeddedServer:
    """One PostgreSQL cluster under ``directory``: ``data``, ``log``, a copy of the binaries if
    the unprivileged user cannot reach them.

    ``settings`` go into ``postgresql.conf`` after our own. With ``password`` connections need it
    (scram), without they are trusted. ``port`` is chosen when not given.
    """

    def __init__(
        self,
        bin_dir: Path,
        directory: Path,
        *,
        port: int | None = None,
        settings: Mapping[str, str] | None = None,
        password: str | None = None,
    ) -> None:
        self.bin_dir = bin_dir
        self.directory = directory.absolute()
        self.data = self.directory / "data"
        self.log = self.directory / "log"
        self.version = server_version(bin_dir)
        self.major = int(self.version.split(".")[0])
        self.password = password
        self.settings = dict(settings or {})
        self.port = port or free_port()
        self._port_may_move = port is None
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Initialize and start the server."""
        self.init()
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        """Stop the server."""
        self.stop()

    @property
    def is_running(self) -> bool:
        """Return whether the postmaster lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        if self._process is None:
            raise ToolFailed(f"the server in {self.directory} was not started")
        return self._process.pid

    def init(self) -> None:
        """Create the cluster: UTF8, locale C.UTF-8 where the machine has it, else C."""
        self.directory.mkdir(parents=True, exist_ok=True)
        give_away(self.directory)
        if not self._can_execute():
            copies = self.directory / "install"
            self.bin_dir = copy_installation(self.bin_dir, copies)
            give_away(copies, *copies.rglob("*"))
        words: list[str | Path] = [self.bin_dir / "initdb", "-U", "postgres", "-E", "UTF8", "-N"]
        words += ["-D", self.data]
        if self.major >= 14:
            words.append("--no-instructions")
        if self.password is None:
            words += ["-A", "trust"]
        else:
            password_file = self.directory / "password"
            password_file.touch(mode=0o600)
            password_file.write_text(self.password + "\n")
            give_away(password_file)
            words += ["-A", "scram-sha-256", f"--pwfile={password_file}"]
        for locale in ("C.UTF-8", "C"):
            done = self._run(*words, f"--locale={locale}")
            if done.returncode == 0:
                break
        else:
            raise ToolFailed(
                f"initdb of PostgreSQL {self.version} failed: {done.stderr.strip()}",
                hint=f"is {self.directory} a place the server's user can reach?",
            )
        ours = {name: value for since, name, value in SETTINGS if self.major >= since}
        self.configure(ours | self.settings)
        self.configure({"port": str(self.port)})

    def configure(self, settings: Mapping[str, str]) -> None:
        """Append settings to ``postgresql.conf``; the last of a name wins when started."""
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as conf:
            for name, value in settings.items():
                conf.write("{} = '{}'\n".format(name, value.replace("'", "''")))

    def start(self, *, timeout: float = 30.0) -> None:
        """Start the server and wait until it accepts connections.

        Another port is taken if somebody was faster to the first one and it was ours to choose.
        After a kill it waits for the old backends to be gone. Raises ToolFailed with the log's
        tail.
        """
        if self.is_running:
            return
        deadline = time.monotonic() + timeout
        while not self._launch(deadline):
            time.sleep(0.05)
        self._port_may_move = False
        atexit.register(self.stop)

    def stop(self, mode: StopMode = "fast", *, timeout: float = 15.0) -> None:
        """Stop the server; ``immediate`` is what a power cut looks like to its data.

        A fast stop that does not end in time (a walsender with a silent subscriber) goes on as
        an immediate one.
        """
        atexit.unregister(self.stop)
        if self._process is None:
            return
        for signum in (SIGNALS[mode], signal.SIGQUIT, signal.SIGKILL):
            if self.is_running:
                self._process.send_signal(signum)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                continue
            return

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop and start the server, on the same port."""
        self.stop(mode)
        self.start()

    def kill(self) -> None:
        """Kill the postmaster with SIGKILL; its children notice and go."""
        atexit.unregister(self.stop)
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def detach(self) -> None:
        """Let the server outlive this process; ``stop`` no longer reaches it."""
        atexit.unregister(self.stop)
        self._process = None

    def url(self, database: str, user: str = "postgres") -> str:
        """Return the libpq URL of a database, whatever characters its name holds."""
        secret = "" if self.password is None else f":{quote(self.password, safe='')}"
        account = f"{quote(user, safe='')}{secret}"
        return f"postgresql://{account}@127.0.0.1:{self.port}/{quote(database, safe='')}"

    def create_database(self, name: str, **options: str | int | bool) -> str:
        """Create a database (``encoding="LATIN1"``, ``template="template0"``…); return its URL."""
        clauses = [
            sql.SQL("{} = {}").format(sql.SQL(option), sql.Literal(value))
            for option, value in options.items()
        ]
        self._execute(sql.SQL(" ").join([sql.SQL("create database"), sql.Identifier(name), *clauses]))
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it exists, ending the sessions in it."""
        if self.major >= 13:
            statement: LiteralString = "drop database if exists {} with (force)"
        else:
            self._execute(
                sql.SQL("select pg_terminate_backend(pid) from pg_stat_activity where datname = {}").format(
                    sql.Literal(name)
                )
            )
            statement = "drop database if exists {}"
        self._execute(sql.SQL(statement).format(sql.Identifier(name)))

    def log_position(self) -> int:
        """Return where the log ends now, for ``log_since``."""
        return self.log.stat().st_size if self.log.exists() else 0

    def log_since(self, position: int) -> str:
        """Return what the server logged after a position."""
        if not self.log.exists():
            return ""
        with self.log.open("rb") as log:
            log.seek(position)
            return log.read().decode(errors="replace")

    def log_tail(self, lines: int = 20) -> str:
        """Return the last lines of the server's log."""
        return "\n".join(self.log_since(0).splitlines()[-lines:])

    def _run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        options = spawn_options(self.directory)
        return subprocess.run(words, capture_output=True, text=True, errors="replace", **options)

    def _can_execute(self) -> bool:
        try:
            return self._run(self.bin_dir / "postgres", "--version").returncode == 0
        except PermissionError:
            return False

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(statement)

    def _launch(self, deadline: float) -> bool:
        """Start once; return False for a reason that another try can overcome."""
        position = self.log_position()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [self.bin_dir / "postgres", "-D", self.data],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **spawn_options(self.directory),
            )
        while self._process.poll() is None and time.monotonic() < deadline:
            if self._is_ready():
                return True
            time.sleep(0.02)
        late = time.monotonic() >= deadline
        self.kill()
        said = self.log_since(position)
        if not late and "pre-existing shared memory block" in said:
            return False
        if not late and self._port_may_move and "could not bind" in said:
            self.port = free_port()
            self.configure({"port": str(self.port)})
            return False
        raise ToolFailed(
            f"PostgreSQL {self.version} in {self.directory} did not start"
            + (" in time" if late else "")
            + f"; the end of its log:\n{self.log_tail()}",
        )

    def _is_ready(self) -> bool:
        """Look into ``postmaster.pid``: ours, and its last line says it accepts connections."""
        try:
            lines = (self.data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return len(lines) >= 8 and lines[0] == str(self.pid) and lines[7].strip() == "ready"
