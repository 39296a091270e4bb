"""``migrator demo``: a whole migration on servers of its own."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say


@click.command("demo", short_help="Migrate a sample database between two servers of its own.")
@click.option("--keep", is_flag=True, help="Leave the servers running, with a migrator.toml.")
@click.option(
    "--rows",
    metavar="N",
    type=click.IntRange(min=10_000),
    default=1_000_000,
    show_default=True,
    help="Make about so many rows.",
)
@with_options
def command(options: Options, keep: bool, rows: int) -> None:
    """Migrate a sample database between two servers of its own, writing to it all the while.

    Starts PostgreSQL 17 and 18 in a new directory, goes from planned to cleaned, and compares
    every table on both sides. Nothing else on this machine is touched.
    """
    from migrator.cli.main import Interrupted
    from migrator.demo.demo import run_demo

    try:
        code = run_demo(keep=keep, as_json=options.as_json, echo=say, rows=rows)
    except KeyboardInterrupt:
        left = "its servers go on" if keep else "its servers and files are gone"
        raise Interrupted(f"the demo was interrupted; {left}") from None
    click.get_current_context().exit(code)
