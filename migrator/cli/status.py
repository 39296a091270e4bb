"""``migrator status``: where the migration stands."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working


@click.command("status", short_help="Tell where the migration stands.")
@with_options
def command(options: Options) -> None:
    """Tell where the migration stands, what both servers say, and what to type next."""
    with working(options) as session:
        session.show(session.app.status())
