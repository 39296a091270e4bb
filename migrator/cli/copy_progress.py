"""``migrator copy-progress``: ``migrator progress`` by the name of the script that it replaces."""

from __future__ import annotations

import click

from migrator.cli import progress

command = click.Command(
    "copy-progress",
    params=progress.command.params,
    callback=progress.command.callback,
    help=progress.command.help,
    short_help="The same as progress.",
)
