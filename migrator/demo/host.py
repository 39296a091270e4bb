"""What an embedded server needs of the machine: a port, a directory, a user who is not root."""

from __future__ import annotations

import os
import pwd
import random
import shutil
import socket
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from migrator.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def work_directory(prefix: str, within: Path | None = None) -> Iterator[Path]:
    """Give a temporary directory that an unprivileged server can reach, and remove it."""
    directory = Path(tempfile.mkdtemp(prefix=f"{prefix}-", dir=within))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing listens on.

    It lies below the range that outgoing connections take theirs from, so that a server which is
    stopped for a moment finds it free again.
    """
    while True:
        port = random.randint(20000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@cache
def unprivileged_account() -> tuple[int, int] | None:
    """Return the user and group ids that leave root behind; None for an ordinary user."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            account = pwd.getpwnam(name)
        except KeyError:
            continue
        return account.pw_uid, account.pw_gid
    raise ConfigError(
        "PostgreSQL refuses to run as root, and there is no user postgres or nobody",
        hint="useradd --system postgres",
    )


def is_reachable(directory: Path) -> bool:
    """Return whether the user that servers run as can get to ``directory``."""
    if unprivileged_account() is None:
        return True
    return all(parent.stat().st_mode & 0o001 for parent in directory.absolute().parents)


def give_away(*paths: Path) -> None:
    """Make the unprivileged user the owner of ``paths``, when we are root."""
    account = unprivileged_account()
    if account is not None:
        for path in paths:
            os.chown(path, *account, follow_symlinks=False)


def spawn_options(directory: Path) -> dict[str, Any]:
    """Return what ``subprocess`` needs to run a server's program in ``directory``.

    The unprivileged user, and an environment without libpq's variables and the user's locale.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))}
    options: dict[str, Any] = {"cwd": directory, "env": inherited | {"LC_ALL": "C"}}
    account = unprivileged_account()
    if account is not None:
        options |= {"user": account[0], "group": account[1], "extra_groups": []}
    return options
