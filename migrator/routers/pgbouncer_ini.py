"""Read and change where one line of pgbouncer's ``[databases]`` leads; everything else stays, to the byte.

What pgbouncer's own reader accepts (documentation, "Section [databases]"): ``name = key=value …``,
values in single quotes with the quote doubled, names of other than simple characters in double quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.errors import GateClosed

if TYPE_CHECKING:
    from collections.abc import Iterator

SECTION = re.compile(r"\s*\[([^\]]*)\]")
INCLUDE = re.compile(r"\s*(%include[ \t].*?)\s*$")
ENTRY = re.compile(
    r"""(?P<head> \s* (?: "(?P<quoted>(?:[^"]|"")*)" | (?P<plain>[A-Za-z0-9_.*-]+) ) [ \t]* = )
        (?P<value>.*?) (?P<tail>\s*) \Z""",
    re.VERBOSE | re.DOTALL,
)
PAIR = re.compile(r"(?P<key>[^\s=]+)\s*=\s*(?P<value>'(?:[^']|'')*'|\S*)")
PLAIN_VALUE = re.compile(r"[^\s']+")
DEFAULT_PORT = "5432"


@dataclass(frozen=True)
class Target:
    """Where an entry leads. ``host`` is empty for the server's own socket."""

    host: str
    port: str
    database: str

    def __str__(self) -> str:
        """Return it for people."""
        return f"{self.host or 'local'}:{self.port}/{self.database}"


def target_of(text: str, name: str) -> Target:
    """Return where the entry of that name leads. Raises GateClosed when the file does not hold it."""
    return [_target(_pairs(text.split("\n")[at]), name) for at in _lines_of(text, name)][-1]


def retarget(text: str, name: str, target: Target) -> str:
    """Return the file's text with the entry of that name leading to ``target``.

    Its other keys stay as they are. Raises GateClosed when the file does not hold it.
    """
    lines = text.split("\n")
    for at in _lines_of(text, name):
        found = _target(_pairs(lines[at]), name)
        for key, now, wanted in (
            ("host", found.host, target.host),
            ("port", found.port, target.port),
            ("dbname", found.database, target.database),
        ):
            if now != wanted:
                lines[at] = _with(lines[at], key, wanted)
    return "\n".join(lines)


def _lines_of(text: str, name: str) -> list[int]:
    lines = text.split("\n")
    # An included file goes on where the including one was; one without sections holds entries only.
    inside = not any(SECTION.match(line) for line in lines)
    found: list[int] = []
    for at, line in enumerate(lines):
        if section := SECTION.match(line):
            inside = section[1] == "databases"
        elif inside and (entry := ENTRY.match(line)):
            quoted, plain = entry["quoted"], entry["plain"]
            if name == (plain if quoted is None else quoted.replace('""', '"')):
                found.append(at)
    if not found:
        includes = ", ".join(_includes(lines))
        raise GateClosed(
            f"there is no line for {name!r} in its [databases]"
            + (f"; it may be in a file that it takes in: {includes}" if includes else ""),
            hint="let router.pgbouncer.config_file be the file that holds the line of the database",
        )
    return found


def _includes(lines: list[str]) -> Iterator[str]:
    yield from (include[1] for line in lines if (include := INCLUDE.match(line)))


def _entry(line: str) -> re.Match[str]:
    entry = ENTRY.match(line)
    if entry is None:
        raise ValueError(line)
    return entry


def _pairs(line: str) -> dict[str, str]:
    return {pair["key"]: _unquote(pair["value"]) for pair in PAIR.finditer(_entry(line)["value"])}


def _target(pairs: dict[str, str], name: str) -> Target:
    return Target(pairs.get("host", ""), pairs.get("port", DEFAULT_PORT), pairs.get("dbname", name))


def _with(line: str, key: str, value: str) -> str:
    entry = _entry(line)
    written = _quote(value)
    pairs = [pair for pair in PAIR.finditer(entry["value"]) if pair["key"] == key]
    changed = entry["value"]
    for pair in reversed(pairs):
        changed = changed[: pair.start("value")] + written + changed[pair.end("value") :]
    if not pairs:
        changed += f" {key}={written}"
    return f"{entry['head']}{changed}{entry['tail']}"


def _quote(value: str) -> str:
    if "\n" in value or "\r" in value:
        raise GateClosed(f"pgbouncer's configuration cannot hold {value!r}", hint="route by another router")
    if PLAIN_VALUE.fullmatch(value):
        return value
    return "'{}'".format(value.replace("'", "''"))


def _unquote(value: str) -> str:
    return value[1:-1].replace("''", "'") if value.startswith("'") else value
