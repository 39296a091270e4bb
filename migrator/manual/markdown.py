"""Write texts that others chose into Markdown, so that they stay texts there.

A name may hold what Markdown, HTML or a table would take for syntax. ``Markdown`` marks what is already
written for it; anything else is escaped by default when a template shows it.
"""

from __future__ import annotations

import re

from migrator.render.units import visible

# As references, which mean the same inside and outside of a table, where a backslash does not.
# An underscore stands for itself between letters only, and next to another one it is not.
_SYNTAX = re.compile(r"[\\`*\[\]<>&|~$#!]|(?<![^\W_])_|_(?![^\W_])")


class Markdown(str):
    """A text that is Markdown already."""

    __slots__ = ()


def text(value: object) -> Markdown:
    """Return ``value`` as a text within a line or a cell of a table."""
    if isinstance(value, Markdown):
        return value
    return Markdown(_SYNTAX.sub(lambda found: f"&#{ord(found[0])};", visible(str(value))))


def code(value: object) -> Markdown:
    """Return ``value`` as code within a line; not for a cell, where Markdowns read a bar differently."""
    content = visible(str(value)) or " "
    fence = "`" * (1 + max(map(len, re.findall("`+", content)), default=0))
    pad = " " if content.startswith("`") or content.endswith("`") or content.strip(" ") != content else ""
    return Markdown(f"{fence}{pad}{content}{pad}{fence}")


def block(value: object, language: str = "", indent: int = 0) -> Markdown:
    """Return ``value`` as lines of code, each ``indent`` to the right, as an item of a list needs them."""
    content = str(value).rstrip("\n")
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", content)), default=0))
    lines = [f"{fence}{language}", *content.split("\n"), fence]
    return Markdown("\n".join(" " * indent + line if line else line for line in lines))


def words(value: str) -> Markdown:
    """Return words of migrator's own docstrings, where code stands in double backquotes, in one line."""
    return Markdown(" ".join(value.replace("``", "`").split()))
