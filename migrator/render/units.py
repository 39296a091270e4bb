"""Write bytes, times and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

_BYTE_UNITS = ("kB", "MB", "GB", "TB", "PB", "EB")


def bytes_text(count: float) -> str:
    """Return a number of bytes with its unit: ``1.2 MB`` (units of 1024, as PostgreSQL's)."""
    if abs(count) < 1024:
        return f"{count:.0f} B"
    for unit in _BYTE_UNITS:
        count /= 1024
        if abs(count) < 999.5 or unit == _BYTE_UNITS[-1]:
            break
    return f"{count:.1f} {unit}" if abs(count) < 9.95 else f"{count:.0f} {unit}"


def count_text(count: int) -> str:
    """Return a number with its thousands apart: ``1 234 567``."""
    return f"{count:,}".replace(",", " ")


def plural(count: int, noun: str) -> str:
    """Return a number of things: ``1 table``, ``2 tables``."""
    return f"{count_text(count)} {noun}" + ("" if count == 1 else "s")


def amount_text(count: int, unit: str) -> str:
    """Return an amount of ``unit``, which may be ``bytes``."""
    return bytes_text(count) if unit == "bytes" else f"{count_text(count)} {unit}"


def seconds_text(seconds: float) -> str:
    """Return a length of time: ``34 ms``, ``0.4 s``, ``12 s``, ``3 min 05 s``, ``2 h 10 min``."""
    if seconds < 0.0995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def moment_text(moment: datetime) -> str:
    """Return a moment in the reader's own time zone, to the second."""
    return f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def visible(text: str) -> str:
    """Return ``text`` with what a terminal would obey (line ends, escapes) written out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns(rows: list[list[str]], indent: str = "  ", gap: str = "  ") -> list[str]:
    """Return rows of cells as lines with aligned columns; a column without text takes no room."""
    width = max(map(len, rows), default=0)
    full = [row + [""] * (width - len(row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*full, strict=True)]
    return [
        indent + gap.join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True) if w).rstrip() for row in full
    ]
