"""No password is ever shown, stored, or put where other users of the machine see it."""

from __future__ import annotations

import io
import threading
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from migrator.cli.main import run
from migrator.demo.configuration import render_toml
from migrator.demo.host import free_port
from migrator.demo.servers import EmbeddedServer
from tests.fixtures import small
from tests.fixtures.servers import TEST_SETTINGS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator

    from tests.fixtures.project import Project

# Found in any text, however the rest of the password is quoted or escaped there.
SECRET = "Gn0m0nX"
PASSWORD = rf"""a'b"c {SECRET} d\e:f/g@h%41&i=j?k#l"""


class Leaks:
    """Where the secret was seen."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def look_at(self, what: str, content: bytes | str) -> None:
        if (SECRET.encode() if isinstance(content, bytes) else SECRET) in content:
            self.seen.add(what)

    def run(self, project: Project, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command, and look at all it says and at the files it leaves."""
        done = project.run(*words, check=check)
        command = " ".join(words)
        self.look_at(f"stdout of {command}: {done.stdout}", done.stdout)
        self.look_at(f"stderr of {command}: {done.stderr}", done.stderr)
        for path in project.directory.rglob("*"):
            if path.is_file() and path != project.path:
                self.look_at(f"{path.name} after {command}", path.read_bytes())
        return done

    def run_here(self, project: Project, *words: str) -> int:
        """Run a command in this process, which is cheaper; look at all it says, return its exit code."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = run(["--config", str(project.path), *words])
        self.look_at(f"{' '.join(words)}: {said.getvalue()}", said.getvalue())
        assert "Traceback" not in said.getvalue()
        return code

    @contextmanager
    def watching_processes(self) -> Iterator[None]:
        """Look at the arguments of every process of the machine, all the time."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(0.03):
                for process in Path("/proc").glob("[0-9]*"):
                    try:
                        arguments = (process / "cmdline").read_bytes()
                    except OSError:
                        continue  # it has ended
                    self.look_at(f"arguments of a process: {arguments!r}", arguments)

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        yield
        done.set()
        watcher.join()


@pytest.fixture(scope="module")
def guarded(
    source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer, cluster_directory: Path
) -> Iterator[list[EmbeddedServer]]:
    """Two servers that let nobody in without the password."""
    servers = [
        EmbeddedServer(
            like.bin_dir, cluster_directory / f"guarded{n}", settings=TEST_SETTINGS, password=PASSWORD
        )
        for n, like in enumerate((source_cluster, destination_cluster))
    ]
    with servers[0], servers[1]:
        yield servers


@pytest.fixture
def urls(guarded: list[EmbeddedServer], new_database: Callable[..., str]) -> list[str]:
    made = [new_database(server) for server in guarded]
    assert all(quote(PASSWORD, safe="") in url for url in made)
    small.load(made[0], rows=100)
    return made


def test_the_whole_road_shows_and_stores_no_password(
    project: Callable[..., Project], urls: list[str], new_database: Callable[..., str]
) -> None:
    made = project(*urls)
    leaks = Leaks()
    with leaks.watching_processes():
        leaks.run(made, "-v", "plan", "--yes")
        leaks.run(made, "-v", "advance", "--yes")
        leaks.run(made, "-v", "--yes", "rollback-to", "planned")
        leaks.run(made, "--json", "-v", "--yes", "advance", "--to", "seq_synced")
        for options in (["-v"], ["--json", "-v"]):
            for words in (["status"], ["progress"], ["history"], ["advance", "--dry-run"]):
                assert leaks.run_here(made, *options, *words) == 0
        leaks.run(made, "-v", "--yes", "advance", "--to", "cleaned")
        assert leaks.run_here(made, "--json", "history") == 0
    assert leaks.seen == set()


PORT = free_port()
URL = f"postgresql://postgres:{SECRET}@127.0.0.1:{PORT}/x"
# What an operator types wrong: a url or another key, and where the secret is in it.
MISTAKES: dict[str, dict[str, Any]] = {
    "nobody listens": {"destination": {"url": URL}},
    "an escape that is none": {"destination": {"url": URL.replace(SECRET, f"{SECRET}%zz")}},
    "a slash in the password": {"destination": {"url": URL.replace(SECRET, f"a/{SECRET}")}},
    "an at in the password": {"destination": {"url": URL.replace(SECRET, f"a@{SECRET}")}},
    "a port that is none": {"destination": {"url": URL.replace(str(PORT), "port")}},
    "an option that is none": {"destination": {"url": f"{URL}?sslpassword={SECRET}&colour=blue"}},
    "a question mark in the password": {"destination": {"url": URL.replace(SECRET, f"a?{SECRET}")}},
    "a bracket": {"destination": {"url": URL.replace("127", "[127")}},
    "a password in two words": {"destination": {"url": f"host=127.0.0.1 password=one {SECRET}"}},
    "a quote that does not end": {"destination": {"url": f"host=127.0.0.1 password='{SECRET}"}},
    "no url": {"destination": {"url": f"x:{SECRET}@127.0.0.1"}},
    "a key that is none": {"destination": {"url": URL, "pasword": SECRET}},
    "the same url": {"source": {"url": URL}, "destination": {"url": URL}},
    "a stream's two words": {"replication": {"source_conninfo": f"host=127.0.0.1 password=one {SECRET}"}},
    "a stream's escape": {"replication": {"source_conninfo": URL.replace(SECRET, f"{SECRET}%zz")}},
    "a store that is not there": {"state": {"url": URL}},
    "a store that is none": {"state": {"url": f"mysql://me:{SECRET}@127.0.0.1/x"}},
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=list(MISTAKES))
def test_a_mistake_is_told_without_the_password(
    project: Callable[..., Project], source_database: str, destination_database: str, mistake: dict[str, Any]
) -> None:
    made = project(source_database, destination_database)
    sections = {"migration": {"name": "move"}, "source": {"url": source_database}}
    made.path.write_text(render_toml({**sections, "destination": {"url": destination_database}, **mistake}))
    leaks = Leaks()
    for words in (["-v", "plan"], ["--json", "plan"], ["status"], ["--json", "advance"]):
        assert leaks.run_here(made, "--yes", *words) in (2, 6)
    assert leaks.seen == set()


def test_a_stream_that_cannot_connect_is_told_without_the_password(
    project: Callable[..., Project], source_database: str, destination_database: str
) -> None:
    small.load(source_database, rows=100)
    conninfo = f"host=127.0.0.1 port={PORT} user=postgres password={SECRET}"
    made = project(source_database, destination_database, replication={"source_conninfo": conninfo})
    leaks = Leaks()
    assert leaks.run(made, "plan", "--yes", check=False).returncode == 4
    leaks.run(made, "plan", "--yes", "--waive", "connections=it will be there by then")
    done = leaks.run(made, "-v", "--yes", "advance", "--to", "replicating", check=False)
    assert done.returncode == 5, done.stderr
    for command in ("status", "history"):
        leaks.run(made, "--json", command)
    assert leaks.seen == set()
