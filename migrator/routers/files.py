"""Replace a file that somebody else reads: whole or not at all, with its owner and mode."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from migrator.errors import GateClosed

if TYPE_CHECKING:
    from pathlib import Path

# Whatever bytes a file holds come back the same.
ENCODING = ("utf-8", "surrogateescape")


def read(path: Path) -> str:
    """Return the file's text. Raises OSError."""
    return path.read_bytes().decode(*ENCODING)


def require_replaceable(path: Path) -> None:
    """Make sure that ``replace`` can do its work. Raises GateClosed."""
    file = path.resolve()
    owner = file.stat().st_uid
    if not os.access(file, os.R_OK) or not os.access(file.parent, os.W_OK | os.X_OK):
        why = f"{file} cannot be replaced: it must be readable, and {file.parent} writable"
    elif os.geteuid() not in {0, owner}:
        why = f"{file} cannot be replaced and keep its owner (uid {owner})"
    else:
        return
    raise GateClosed(why, hint="run migrator as the file's owner, or as root")


def replace(path: Path, text: str) -> None:
    """Write ``text`` beside the file and rename it over; where it is a link, over what it leads to.

    Raises OSError; the old one stays then.
    """
    stage(path, text)
    put(path)
    settle(path)


def stage(path: Path, text: str, *, backup: str = "") -> None:
    """Do what takes long: write ``text`` beside the file, to the disk, for ``put`` to rename it over.

    ``backup`` is the name under which the old one stays beside it as well. Raises OSError.
    """
    file = path.resolve()
    if backup:
        _write(file, read(file))
        _staged(file).replace(file.with_name(backup))
    _write(file, text)


def put(path: Path) -> None:
    """Rename what is staged over the file. Raises OSError."""
    file = path.resolve()
    _staged(file).replace(file)


def settle(path: Path) -> None:
    """Have the renames on the disk. Raises OSError."""
    directory = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def discard(path: Path) -> None:
    """Remove what is staged and was not put. Raises OSError."""
    _staged(path.resolve()).unlink(missing_ok=True)


def _staged(file: Path) -> Path:
    return file.with_name(f".{file.name}.migrator-new")


def _write(file: Path, text: str) -> None:
    # Nobody else may read it before it has the mode of the old one: it may hold passwords.
    descriptor = os.open(_staged(file), os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(text.encode(*ENCODING))
        out.flush()
        status = file.stat()
        os.fchown(out.fileno(), status.st_uid, status.st_gid)
        shutil.copystat(file, _staged(file))
        os.utime(_staged(file))
        os.fsync(out.fileno())
