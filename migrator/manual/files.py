"""Write the files of a context: never over one that is somebody's own, and all of them or none.

What is written again carries a mark in one of its first two lines (the first of a script is ``#!``). A file
without it was written or taken over by somebody, and is not touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.errors import ConfigError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MARK = "Written by migrator manual, which replaces it. Without this line it is left alone."
MARKED_LINES = 2

PRIVATE, READABLE, EXECUTABLE = 0o600, 0o644, 0o755


@dataclass(frozen=True)
class File:
    """One file to write: its name in the directory, its whole text, its mode."""

    name: str
    text: str
    mode: int


def replace(directory: Path, files: Sequence[File]) -> None:
    """Write ``files`` in a directory that is there, each in one rename, over none without our mark.

    Raises Refused, with nothing written, when one of them is not ours; ConfigError when the directory
    cannot be written to.
    """
    kept = [file.name for file in files if not is_ours(directory / file.name)]
    if kept:
        raise Refused(
            f"{', '.join(str(directory / name) for name in kept)} "
            f"{'was' if len(kept) == 1 else 'were'} not written by migrator; nothing was written",
            hint="move it away, or migrator manual --output FILE",
        )
    with _told(directory):
        for file in files:
            _write(directory, file)


def create(directory: Path, files: Sequence[File]) -> None:
    """Make the directory, mode 0700, with ``files`` in it, in one rename.

    Raises Refused when there is anything of that name that is not an empty directory, ConfigError when it
    cannot be made. Either way nothing has changed but a missing parent, which may be there.
    """
    refuse_existing(directory)
    with _told(directory):
        directory.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=directory.parent, prefix=".migrator-"))
        try:
            for file in files:
                _write(made, file)
            made.rename(directory)
        finally:
            shutil.rmtree(made, ignore_errors=True)


def refuse_existing(directory: Path) -> None:
    """Raise Refused when ``directory`` is anything but absent or empty."""
    with _told(directory):
        free = not os.path.lexists(directory) or (
            directory.is_dir() and not directory.is_symlink() and not any(directory.iterdir())
        )
    if not free:
        raise Refused(
            f"{directory} exists and was not touched",
            hint=f"migrator --config {directory / 'migrator.toml'} manual, or another --context-dir",
        )


def is_ours(path: Path) -> bool:
    """Return whether ``path`` may be written: nothing is there, or a file with our mark."""
    if not os.path.lexists(path):
        return True
    if not path.is_file():
        return False
    with _told(path), path.open(encoding="utf-8", errors="replace") as file:
        return any(MARK in file.readline() for _ in range(MARKED_LINES))


def _write(directory: Path, file: File) -> None:
    descriptor, made = tempfile.mkstemp(dir=directory, prefix=".migrator-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as out:
            out.write(file.text)
            os.fchmod(descriptor, file.mode)
        Path(made).replace(directory / file.name)
    finally:
        Path(made).unlink(missing_ok=True)


@contextlib.contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
