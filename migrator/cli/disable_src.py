"""``migrator disable-src``: take the writes from the source and open the destination."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """Past the point of no return: the source refuses writes, the destination takes them, and the stream
leads back. pgbouncer and haproxy lead clients over in the same breath; with router "manual" or
"command" the application gets errors until migrator re-routing."""

command = part_command(
    "disable-src",
    MORE,
    "Take the writes from the source, past the point of no return?",
)
