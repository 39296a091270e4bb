"""``migrator create-sub``: copy all rows and subscribe the destination to the source."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Copies from one snapshot, builds indexes and keys, then streams what was written meanwhile until it
has caught up. A run that was stopped goes on where it stopped."""

command = part_command("create-sub", MORE, "Copy and subscribe?")
