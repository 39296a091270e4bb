"""``migrator drop-sub``: drop the subscriptions and slots, which gives up the way back."""

from __future__ import annotations

from migrator.cli.parts import part_command

MORE = """The destination is on its own from here on."""

command = part_command(
    "drop-sub",
    MORE,
    "Drop the subscriptions, and with them the way back?",
)
