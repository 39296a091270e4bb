"""``migrator check-misc``: what logical replication does not carry."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working


@click.command("check-misc", short_help="List what logical replication does not carry.")
@with_options
def command(options: Options) -> None:
    """List every object of the source that logical replication does not carry, and what becomes of it.

    Looks at the source alone, with what [tables] says. Of many of one kind the first ones are shown; -v
    shows all. The checks (migrator check) say what must be done about them.
    """
    with working(options) as session:
        session.show(session.app.unreplicated())
