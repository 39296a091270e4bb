"""``migrator check-db``: the source's database, for the new cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrator.cli.defining import definition_options, write_definition
from migrator.cli.options import Options, with_options

if TYPE_CHECKING:
    from pathlib import Path


@click.command("check-db", short_help="Write the source's database as the definition of a new cluster.")
@definition_options
@click.option(
    "--empty", is_flag=True, help="Leave schemas and extensions to migrator, which wants an empty database."
)
@with_options
def command(options: Options, form: str | None, output: Path | None, empty: bool) -> None:
    """Write the source's database as the definition of a new cluster.

    Reads the source alone; the database gets the name that destination.url gives. A database that migrator
    is to fill is made with --empty.
    """
    write_definition(options, "database", form, output, empty=empty)
