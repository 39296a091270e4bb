"""``migrator re-routing``: lead the application to the destination and prove that no row is missing."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Runs the router (or asks you), ends the sessions that still sit on the source, and compares the rows
of both sides as they were when the writes changed hands."""

command = part_command(
    "re-routing",
    MORE,
    "Lead the application to the destination?",
)
