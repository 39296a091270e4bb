"""``migrator demo``: a whole migration on servers of its own, with a writer, and the proof."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from migrator.demo import sample
from migrator.demo.configuration import render_toml
from migrator.demo.host import is_reachable, work_directory
from migrator.demo.outcome import Outcome
from migrator.demo.proof import LEDGER, compare_all, find_missing
from migrator.demo.servers import EmbeddedServer, find_binaries
from migrator.demo.transactions import Connection, ledger_transaction, order_transaction
from migrator.demo.writer import Writer
from migrator.errors import ConfigError, ToolFailed
from migrator.workflow import State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from random import Random
    from uuid import UUID

SOURCE, DESTINATION = 17, 18
DATABASE = "shop"
KEPT = Path("migrator-demo")
# Seconds that an interrupted command has to end by itself.
PATIENCE = 10

# What an operator's own re-routing program would do to a proxy or a name service.
RE_ROUTE = '''\
"""Point the writer at a url: re_route.py ROUTE_FILE URL."""

import pathlib
import sys

route, url = pathlib.Path(sys.argv[1]), sys.argv[2]
new = route.with_suffix(".new")
new.write_text(url, encoding="utf-8")
new.replace(route)
'''


class Echo(Protocol):
    """Writes a line: results to stdout, with ``err`` to stderr."""

    def __call__(self, text: str, /, *, err: bool = False) -> None:
        """Write a line."""


def run_demo(*, keep: bool, as_json: bool, echo: Echo, rows: int = sample.ABOUT_ROWS) -> int:
    """Migrate the sample, of about ``rows`` rows, from one embedded server to another; return the exit code.

    0 when the migration ended as ``cleaned``, every table is equal and every acknowledged commit
    was found; 4 when something differs. The servers and their directory are gone afterwards,
    unless ``keep``; with ``as_json`` the object then holds ``config`` and the servers' ``pids``.
    """
    tell: Echo = _silent if as_json else echo
    begun = time.monotonic()
    with _directory(keep) as directory, _serving(directory, keep, tell) as (source, destination):
        story = Story(directory, source, destination, sample.Sizes.about(rows))
        tell(f"loading the sample into {source.url(DATABASE)}", err=True)
        story.prepare()
        tell("a writer commits about 200 times a second from now on", err=True)
        with Writer(story.route, story.transact) as writer:
            states = advance_all(story.config, tell, as_json=as_json)
            # Some seconds of life on the new server.
            writer.wait_for(400)
        tell("comparing both databases, every value of every table", err=True)
        outcome = story.prove(writer, states, begun)
        if as_json:
            kept = {"config": str(story.config), "pids": [source.pid, destination.pid]}
            echo(json.dumps(outcome.as_dict() | (kept if keep else {})))
        else:
            for line in outcome.lines():
                echo(line)
    return outcome.exit_code


class Story:
    """The demo's two databases, its files, and what its client does."""

    def __init__(
        self, directory: Path, source: EmbeddedServer, destination: EmbeddedServer, sizes: sample.Sizes
    ) -> None:
        self._sizes = sizes
        self.config = directory / "migrator.toml"
        self._directory = directory
        self._route = directory / "route"
        self._source, self._destination = source, destination
        self._source_url = source.url(DATABASE)
        self._destination_url = destination.url(DATABASE)

    def prepare(self) -> None:
        """Make both databases, the sample in one of them, and the files."""
        self._source.create_database(DATABASE)
        self._destination.create_database(DATABASE)
        sample.load(self._source_url, self._sizes)
        sample.create_roles(self._destination_url)
        program = self._directory / "re_route.py"
        program.write_text(RE_ROUTE, encoding="utf-8")
        self._route.write_text(self._source_url, encoding="utf-8")
        re_route = [sys.executable, str(program), str(self._route), self._destination_url]
        self.config.write_text(
            render_toml(
                {
                    "migration": {"name": "demo"},
                    "source": {"url": self._source_url},
                    "destination": {"url": self._destination_url},
                    "cutover": {"router": "command"},
                    "router": {"command": {"re_route": re_route}},
                }
            ),
            encoding="utf-8",
        )

    def route(self) -> str:
        """Return the URL that the client writes to now."""
        return self._route.read_text(encoding="utf-8")

    def transact(self, connection: Connection, token: UUID, dice: Random) -> None:
        """Write orders to the source, and only tokens to the destination.

        So that the destination takes writes and can still be compared with the source, row by
        row, but for exactly these tokens.
        """
        if connection.info.port == self._destination.port:
            ledger_transaction(connection, token, dice)
        else:
            order_transaction(connection, token, dice, self._sizes)

    def prove(self, writer: Writer, states: tuple[str, ...], begun: float) -> Outcome:
        """Compare both databases and look for every acknowledged commit."""
        comparison = compare_all(
            self._source_url,
            self._destination_url,
            set_aside={LEDGER: writer.written_to(self._destination_url)},
        )
        pause = writer.pause_between(self._source_url, self._destination_url)
        return Outcome(
            states=states,
            seconds=time.monotonic() - begun,
            source_version=self._source.version,
            destination_version=self._destination.version,
            comparison=comparison,
            acknowledged=len(writer.commits),
            missing=len(find_missing(self._destination_url, writer.acknowledged)),
            in_doubt=len(writer.in_doubt),
            longest_pause_ms=writer.longest_pause * 1000,
            cutover_pause_ms=None if pause is None else pause * 1000,
        )


def advance_all(config: Path, tell: Echo, *, as_json: bool) -> tuple[str, ...]:
    """Run the two commands an operator would type, progress on stderr.

    Return the states that the journal says were gone through.
    """
    for words in (("plan",), ("advance", "--to", State.CLEANED)):
        tell(f"$ migrator {' '.join(words)}", err=True)
        _migrator(config, *words, "--yes", as_json=as_json)
    history = json.loads(_migrator(config, "history", as_json=True))
    moves = (attempt["step"] for attempt in history["attempts"] if attempt["kind"] == "state")
    return (State.PLANNED.value, *moves)


def _migrator(config: Path, *words: str, as_json: bool) -> str:
    options = ["--config", str(config), *(["--json"] if as_json else [])]
    # In a session of its own, so that Ctrl-C reaches it once, from here, and it can end in order.
    process = subprocess.Popen(
        [sys.executable, "-m", "migrator", *options, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        cwd=config.parent,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate()
    except BaseException:
        process.terminate()
        try:
            process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
        raise
    if process.returncode != 0:
        why = f": {said.strip()}" if as_json else "; it says why above"
        raise ToolFailed(
            f"migrator {' '.join(words)} ended with exit code {process.returncode}{why}",
            hint="migrator demo --keep, then look around",
        )
    return said


def _ourselves() -> str:
    """Return how to call us from another directory."""
    if shutil.which("migrator"):
        return "migrator"
    return str(Path(sys.executable).with_name("migrator"))


def _silent(_text: str, /, *, err: bool = False) -> None:
    """Say nothing: with ``--json`` stdout and stderr hold JSON only."""


def _directory(keep: bool) -> AbstractContextManager[Path]:
    if not keep:
        return work_directory("migrator-demo")
    if not is_reachable(KEPT):
        directory = Path(tempfile.mkdtemp(prefix="migrator-demo-"))
        directory.chmod(0o755)
        return nullcontext(directory)
    try:
        KEPT.mkdir(mode=0o755)
    except FileExistsError:
        raise ConfigError(
            f"{KEPT.absolute()} exists; a demo was kept there",
            hint=f"stop its servers and remove it: rm -r {KEPT}",
        ) from None
    return nullcontext(KEPT.absolute())


@contextmanager
def _serving(directory: Path, keep: bool, tell: Echo) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Start both servers; stop them at the end, or say how to."""
    source = EmbeddedServer(find_binaries(SOURCE), directory / "source")
    destination = EmbeddedServer(find_binaries(DESTINATION), directory / "destination")
    tell(f"starting PostgreSQL {source.version} and {destination.version} in {directory}", err=True)
    with source, destination:
        try:
            yield source, destination
        finally:
            if keep:
                tell(f"the servers go on: cd {directory} && {_ourselves()} status", err=True)
                tell(f"to stop them: kill -INT {source.pid} {destination.pid}", err=True)
                tell(f"to remove them after that: rm -r {directory}", err=True)
                source.detach()
                destination.detach()
            else:
                # Their data is thrown away: nothing needs to be flushed first.
                source.stop("immediate")
                destination.stop("immediate")
