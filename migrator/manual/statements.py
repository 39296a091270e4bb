"""SQL as text for files: each statement on one line, whatever characters its names and values hold.

What cannot be printed, line breaks included, is written as ``U&"…"``, so that a statement may also stand in
a comment, of SQL or YAML, and is not broken by a terminal or an editor.
"""

from __future__ import annotations

from psycopg import sql

from migrator.pg.database import LISTS_OF_NAMES, names_in

# What a file for psql begins with, and again after each \connect.
PREAMBLE = ("set client_encoding to 'UTF8';", "set standard_conforming_strings to on;")


def identifier(name: str) -> str:
    """Return a name quoted for SQL."""
    if name.isprintable():
        return sql.Identifier(name).as_string()
    quoted = _escaped(name).replace('"', '""')
    return f'U&"{quoted}"'


def literal(value: str) -> str:
    """Return a text as an SQL literal, for a server with standard_conforming_strings."""
    quoted = value.replace("'", "''")
    return f"'{quoted}'" if value.isprintable() else f"U&'{_escaped(quoted)}'"


def variable(name: str) -> str:
    """Return the name of a setting quoted for SQL."""
    return ".".join(identifier(part) for part in name.split("."))


def setting_value(name: str, value: str) -> str:
    """Return what a setting is set to: of a list of names each one for itself, as pg_dump does."""
    if name.lower() not in LISTS_OF_NAMES:
        return literal(value)
    return ", ".join(map(literal, names_in(value))) or "''"


def connect_command(database: str) -> str:
    """Return psql's command that goes on in another database.

    A name with unusual characters has to be part of a conninfo. Around that are double quotes, in which
    psql takes everything as it is, and around these single ones, in which it reads escapes.
    """
    value = database.replace("\\", "\\\\").replace("'", "\\'")
    quoted = f"dbname='{value}'".replace('"', '""')
    escaped = "".join(map(_for_psql, f'"{quoted}"'))
    return f"\\connect -reuse-previous=on '{escaped}'"


def _for_psql(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02X}" for byte in character.encode())


def _escaped(text: str) -> str:
    """Return a text with its backslashes and what cannot be printed as Unicode escapes."""
    return "".join(_escape(c) if c == "\\" or not c.isprintable() else c for c in text)


def _escape(character: str) -> str:
    if character == "\\":
        return "\\\\"
    code = ord(character)
    return f"\\{code:04X}" if code <= 0xFFFF else f"\\+{code:06X}"
