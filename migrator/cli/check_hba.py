"""``migrator check-hba``: the source's pg_hba.conf, for the new cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrator.cli.defining import definition_options, passwords_option, write_definition
from migrator.cli.options import Options, with_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("check-hba", short_help="Write the source's pg_hba.conf as the definition of a new cluster.")
@definition_options
@passwords_option
@with_options
def command(options: Options, form: str | None, output: Path | None, with_passwords: bool) -> None:
    """Write the source's pg_hba.conf as the definition of a new cluster.

    Reads the source alone. The rules stay in the order in which they are tried; as YAML those that Pigsty
    cannot say by address are raw lines.
    """
    write_definition(options, "hba", form, output, with_passwords=with_passwords)
