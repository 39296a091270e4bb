"""What the benches share: two servers, programs that are watched while they run, results as JSON."""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.demo.servers import EmbeddedServer, find_binaries, work_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
LOOK_EVERY = 0.05

# Nothing but the work itself is to be measured: no disk that syncs, no checkpoint or vacuum by chance.
SETTINGS = {
    "fsync": "off",
    "max_wal_size": "8GB",
    "shared_buffers": "1GB",
    "maintenance_work_mem": "256MB",
    "checkpoint_timeout": "30min",
    "autovacuum": "off",
}


@contextmanager
def two_servers(
    major: int, settings: Mapping[str, str] | None = None, *, destination_major: int | None = None
) -> Iterator[tuple[EmbeddedServer, EmbeddedServer]]:
    """Run a source and a destination, of one major version unless the destination's is given."""
    here, there = find_binaries(major), find_binaries(destination_major or major)
    chosen = {**SETTINGS, **(settings or {})}
    with (
        work_directory("bench") as directory,
        EmbeddedServer(here, directory / "source", settings=chosen) as source,
        EmbeddedServer(there, directory / "destination", settings=chosen) as destination,
    ):
        yield source, destination


def cpu(server: EmbeddedServer) -> float:
    """Return the CPU seconds that a server's processes, living and dead, have used."""
    total = 0.0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat.parent.name == str(server.pid):
            total += sum(map(int, fields[11:15]))
        elif int(fields[1]) == server.pid:
            total += sum(map(int, fields[11:13]))
    return total / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Ran:
    """What a program took and said; ``memory`` is its peak in MB, ``children`` theirs by name.

    ``cpu`` counts it and its children, which other programs on the machine do not change much.
    """

    seconds: float
    cpu: float
    output: bytes
    memory: float
    children: dict[str, float]


def run(*words: object, accepted: Collection[int] = (0,), **options: Any) -> Ran:
    """Run a program to its end and watch its memory; another exit code than ``accepted`` ends the bench."""
    memory, children = 0.0, dict[str, float]()
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        started, used = time.monotonic(), _used()
        process = subprocess.Popen([str(w) for w in words], stdout=out, stderr=errors, **options)
        while True:
            memory = max(memory, _peak(process.pid)[1])
            for child in _children(process.pid):
                name, size = _peak(child)
                if not name.startswith("python"):  # forked, and not yet what it is going to be
                    children[name] = max(children.get(name, 0.0), size)
            try:
                process.wait(LOOK_EVERY)
            except subprocess.TimeoutExpired:
                continue
            break
        took = time.monotonic() - started
        out.seek(0)
        errors.seek(0)
        if process.returncode not in accepted:
            sys.exit(f"{' '.join(map(str, words))} failed: {errors.read().decode()[-2000:]}")
        children.pop("", None)
        return Ran(took, _used() - used, out.read(), memory, children)


def _used() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _peak(pid: int) -> tuple[str, float]:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return "", 0.0
    said = dict(line.split(":", 1) for line in status.splitlines())
    return said["Name"].strip(), int(said.get("VmHWM", "0 kB").split()[0]) / 1024


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


class Migrator:
    """The command line, for one migration from one URL to another."""

    def __init__(
        self, directory: Path, source: str, destination: str, jobs: int = 0, *, more: str = ""
    ) -> None:
        self.config = directory / "migrator.toml"
        self.config.write_text(
            f'[migration]\nname = "bench"\n[source]\nurl = "{source}"\n[destination]\nurl = "{destination}"\n'
            + (f"[copy]\njobs = {jobs}\nindex_jobs = {jobs}\n" if jobs else "")
            + more
        )

    def words(self, *command: str, profile: Path | None = None) -> list[object]:
        """Return a command of migrator, under cProfile when its output has a place."""
        profiled = ["-m", "cProfile", "-o", profile] if profile else []
        return [sys.executable, *profiled, "-m", "migrator", "--config", self.config, "--yes", *command]

    def run(self, *command: str, profile: Path | None = None, accepted: Collection[int] = (0,)) -> Ran:
        """Run a command of migrator."""
        # Installed programs are compiled once; not to be kept from it is part of a fair start-up time.
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        words = self.words(*command, profile=profile)
        return run(*words, accepted=accepted, cwd=ROOT, env=environment)

    def parts(self) -> dict[str, float]:
        """Return the seconds of every step that took some."""
        attempts = json.loads(self.run("--json", "history").output)["attempts"]
        return {a["step"]: _seconds(a) for a in attempts if _seconds(a) > 0.05}


def _seconds(attempt: dict[str, str]) -> float:
    started, finished = (datetime.fromisoformat(attempt[k]) for k in ("started_at", "finished_at"))
    return round((finished - started).total_seconds(), 2)


def medians(samples: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return the median of each, of those that have any."""
    return {name: round(statistics.median(values), 2) for name, values in samples.items() if values}


def tell(path: Path | None, **told: object) -> None:
    """Print the results, and write them as one JSON object if there is a place for it."""
    for name, value in told.items():
        print(f"{name} {json.dumps(value)}")
    if path:
        path.write_text(json.dumps(told, indent=2) + "\n")
