"""``migrator check-user``: the source's roles, for the new cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrator.cli.defining import definition_options, passwords_option, write_definition
from migrator.cli.options import Options, with_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("check-user", short_help="Write the source's roles as the definition of a new cluster.")
@definition_options
@passwords_option
@with_options
def command(options: Options, form: str | None, output: Path | None, with_passwords: bool) -> None:
    """Write the source's roles as the definition of a new cluster.

    Reads the source alone. What the form cannot carry stands in it as comments, with the SQL that says it.
    """
    write_definition(options, "users", form, output, with_passwords=with_passwords)
