"""The source's schema as a list of entries, each with its SQL, made by pg_dump and pg_restore.

The archive is made anew whenever it is needed, so that nothing depends on a file that a crash or
another host might have taken away. ``pg_restore --verbose`` names each entry by its number and the
catalog row on the source that it stands for; the list of numbers is known beforehand from ``--list``,
so no object's name or body can be taken for a boundary.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from migrator.errors import ToolFailed
from migrator.pg import tools

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.catalog import Table
    from migrator.pg.names import Names
    from migrator.pg.server import Server

LISTED = re.compile(r"^(\d+); (\d+) (\d+) (.*)$")

# pg_dump's names of what it writes, longest first so that a prefix match finds the whole name.
KINDS = (
    "MATERIALIZED VIEW DATA",
    "PUBLICATION TABLES IN SCHEMA",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH TEMPLATE",
    "TEXT SEARCH PARSER",
    "FOREIGN DATA WRAPPER",
    "PROCEDURAL LANGUAGE",
    "SUBSCRIPTION TABLE",
    "PUBLICATION TABLE",
    "MATERIALIZED VIEW",
    "CHECK CONSTRAINT",
    "SEQUENCE OWNED BY",
    "OPERATOR FAMILY",
    "OPERATOR CLASS",
    "FK CONSTRAINT",
    "ACCESS METHOD",
    "FOREIGN TABLE",
    "EVENT TRIGGER",
    "SECURITY LABEL",
    "TABLE ATTACH",
    "INDEX ATTACH",
    "ROW SECURITY",
    "USER MAPPING",
    "DEFAULT ACL",
    "SUBSCRIPTION",
    "PUBLICATION",
    "SHELL TYPE",
    "CONSTRAINT",
    "STATISTICS",
    "EXTENSION",
    "PROCEDURE",
    "AGGREGATE",
    "TRANSFORM",
    "COLLATION",
    "CONVERSION",
    "SEQUENCE",
    "FUNCTION",
    "OPERATOR",
    "TRIGGER",
    "COMMENT",
    "DEFAULT",
    "DOMAIN",
    "SCHEMA",
    "SERVER",
    "POLICY",
    "TABLE",
    "INDEX",
    "VIEW",
    "RULE",
    "TYPE",
    "CAST",
    "ACL",
)

# pg_restore writes in passes: everything in the listed order, then grants, then what must come last.
GRANTS = ("ACL ", "DEFAULT ACL ")
LAST = ("EVENT TRIGGER ", "COMMENT - EVENT TRIGGER ")
SETTINGS = ("ENCODING", "STDSTRINGS", "SEARCHPATH")

# Our sessions pin these themselves (and an older destination does not know them all).
PINNED_ELSEWHERE = (
    "statement_timeout",
    "lock_timeout",
    "transaction_timeout",
    "idle_in_transaction",
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One object of the schema: its kind, its catalog row on the source, its SQL."""

    kind: str
    class_oid: int
    object_oid: int
    title: str
    sql: str

    @property
    def definition(self) -> str:
        """Return the SQL without the settings for the entry that happens to follow."""
        return re.sub(r"(\s*^SET default_\w+ = [^\n]*;)+\s*\Z", "", self.sql, flags=re.MULTILINE)

    @property
    def key(self) -> str:
        """Return a key that is the same in every dump of the same definition."""
        return hashlib.sha256(f"{self.kind}\x00{self.definition}".encode()).hexdigest()


class Part(Enum):
    """Which step restores an entry of post-data.

    Sets, because an enum of tuples loses an empty one: its value is object() before Python 3.11.4.
    """

    INDEX = frozenset({"CONSTRAINT", "INDEX", "INDEX ATTACH"})
    FOREIGN_KEY = frozenset({"FK CONSTRAINT"})
    NEVER = frozenset(
        {
            "PUBLICATION",
            "PUBLICATION TABLE",
            "PUBLICATION TABLES IN SCHEMA",
            "SUBSCRIPTION",
            "SUBSCRIPTION TABLE",
            "MATERIALIZED VIEW DATA",
        }
    )
    REST = frozenset[str]()


@dataclass(frozen=True)
class SchemaDump:
    """A section of the schema: settings to make first, then the entries in dependency order."""

    preamble: str
    entries: tuple[Entry, ...]

    def part(self, part: Part, of_views: set[int]) -> list[Entry]:
        """Return the entries of one part; ``of_views`` are the indexes that come with their views."""

        def belongs(entry: Entry) -> Part:
            if entry.object_oid in of_views:
                return Part.REST
            return next((p for p in Part if entry.kind in p.value), Part.REST)

        return [e for e in self.entries if belongs(e) is part]

    @property
    def script(self) -> str:
        """Return the whole section as one script."""
        return "\n".join((self.preamble, *(e.sql for e in self.entries)))


def dump_schema(
    source: Server,
    destination: Server,
    names: Names,
    section: str,
    without: Iterable[str] = (),
    *,
    only: Iterable[Table] = (),
) -> SchemaDump:
    """Dump one section (``pre-data`` or ``post-data``) of the source's schema.

    Owners, grants and comments are in; publications, subscriptions, our own schema, those named in
    ``without``, and tablespaces (which are directories of one machine) are not. With ``only``, nothing
    but these tables and the sequences that they own is in. Raises ToolFailed.
    """
    wanted = {"at_least": source.major, "prefer": max(destination.major, source.major)}
    pg_dump = tools.find("pg_dump", **wanted)
    pg_restore = pg_dump.with_name("pg_restore")
    if not pg_restore.exists():
        pg_restore = tools.find("pg_restore", **wanted)
    # The archive stays in memory: a file of it would outlive a kill.
    archive = tools.run(
        pg_dump,
        [
            "--format=custom",
            "--compress=0",
            "--schema-only",
            "--no-publications",
            "--no-subscriptions",
            "--no-tablespaces",
            "--encoding=UTF8",
            "--lock-wait-timeout=60000",
            f"--section={section}",
            *(f"--table={_pattern(t.schema)}.{_pattern(t.name)}" for t in only),
            *(f"--exclude-schema={_pattern(schema)}" for schema in sorted({names.schema, *without})),
        ],
        application=names.application,
        conninfo=source.conninfo,
    )
    listing = tools.run(pg_restore, ["--list"], application=names.application, given=archive).decode()
    script = tools.run(
        pg_restore,
        # An archive holds the tablespaces all the same; they are left out on the way out of it.
        ["--verbose", "--no-tablespaces", "--file=-"],
        application=names.application,
        given=archive,
    ).decode()
    # Of ten thousand tables each of these is some tens of megabytes.
    del archive
    return _parse(listing, script)


def _pattern(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parse(listing: str, script: str) -> SchemaDump:
    script = _without_restrict(script)
    listed = [m for m in map(LISTED.match, listing.splitlines()) if m is not None]
    listed.sort(key=lambda m: 2 if m[4].startswith(LAST) else int(m[4].startswith(GRANTS)))
    starts: list[tuple[re.Match[str], int]] = []
    position = 0
    for match in listed:
        header = f"--\n-- TOC entry {match[1]} (class {match[2]} OID {match[3]})\n"
        found = script.find(header, position)
        if found >= 0:
            starts.append((match, found))
            position = found + len(header)
        elif not match[4].startswith(SETTINGS):
            raise ToolFailed(
                f"pg_restore lists {match[4]!r} and did not write it",
                hint="use the pg_dump and pg_restore of the destination's major version",
            )
    end = script.rfind("\n-- Completed on ")
    ends = [start for _, start in starts[1:]] + [end if end >= position else len(script)]
    # A section may be empty: then there is a preamble and nothing to end.
    ends = ends[: len(starts)]
    entries = tuple(
        _entry(match, script[start:end]) for (match, start), end in zip(starts, ends, strict=True)
    )
    return SchemaDump(_preamble(script[: starts[0][1]] if starts else script), entries)


def _entry(match: re.Match[str], text: str) -> Entry:
    kind = next((k for k in KINDS if match[4].startswith(k + " ")), None)
    if kind is None:
        raise ToolFailed(
            f"pg_dump wrote an entry of a kind that migrator does not know: {match[4]!r}",
            hint="use a pg_dump of the destination's major version",
        )
    lines = text.lstrip("\n").split("\n")
    body = "\n".join(lines[_header_length(lines) :])
    return Entry(kind, int(match[2]), int(match[3]), match[4], body.strip("\n"))


def _header_length(lines: list[str]) -> int:
    # The header is the comment between two lines of "--" alone; names in it hold no newline.
    return lines.index("--", 1) + 1


def _preamble(text: str) -> str:
    pinned = tuple(f"SET {name}" for name in PINNED_ELSEWHERE)
    return "\n".join(line for line in text.splitlines() if not line.startswith(pinned))


def _without_restrict(script: str) -> str:
    # Since August 2025 the script is wrapped in psql's \restrict and \unrestrict with a random key.
    key = re.search(r"^\\restrict (\S+)$", script, re.MULTILINE)
    if key is None or -1 < script.find("\n-- TOC entry ") < key.start():
        return script
    return script.replace(key[0] + "\n", "", 1).replace(f"\\unrestrict {key[1]}\n", "", 1)
