"""``migrator create-pub``: publish the tables on the source."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Refused while a table has no usable replica identity: its UPDATE and DELETE would fail at once.
migrator check-repl tells which, and what to do."""

command = part_command("create-pub", MORE, "Publish the tables?")
