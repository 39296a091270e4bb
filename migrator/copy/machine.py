"""What is known of the destination's machine: something only where it is the one that migrator runs on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from migrator.context import ReadContext

# By a socket of the file system, or from an address of the server's own.
HERE = "select pg_catalog.inet_client_addr() is not distinct from pg_catalog.inet_server_addr()"


def known_cores(ctx: ReadContext) -> int | None:
    """Return how many cores the destination has, or None."""
    return len(os.sched_getaffinity(0)) if _is_here(ctx) else None


def known_memory(ctx: ReadContext) -> int | None:
    """Return how much memory is available there, in bytes, or None."""
    if not _is_here(ctx):
        return None
    lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    said = dict(line.split(":", 1) for line in lines)
    return int(said["MemAvailable"].split()[0]) * 1024


def _is_here(ctx: ReadContext) -> bool:
    return bool(ctx.destination.value(HERE))
