"""``migrator copy-schema``: copy the schema to the destination."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Tables, types, functions, views and sequences with owners and grants, as pg_dump writes them, in one
transaction; what must come after the rows (indexes, keys, triggers) comes with create-sub."""

command = part_command("copy-schema", MORE, "Copy the schema?")
