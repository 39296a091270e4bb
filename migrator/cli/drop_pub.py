"""``migrator drop-pub``: drop the publications and all else of migrator's."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Triggers and our schema on both sides; the source stays read-only where [cleanup] says so."""

command = part_command(
    "drop-pub",
    MORE,
    "Drop the publications and all else that migrator made?",
)
