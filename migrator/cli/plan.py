"""``migrator plan``: look first, then begin."""

from __future__ import annotations

import click

from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.session import working


@click.command("plan", short_help="Look at both servers and begin a migration.")
@click.option("--dry-run", is_flag=True, help="Only look; write nothing and ask nothing.")
@waive_option
@with_options
def command(options: Options, dry_run: bool, waive: tuple[str, ...]) -> None:
    """Look at both servers, tell what a migration will do, and begin it.

    Runs every check. When none blocks and you agree, the migration is written to the state store
    as planned; the servers are not changed.
    """
    with working(options, mutating=not dry_run) as session:
        session.app.waive(waive)
        if not dry_run:
            session.agree(lambda: session.app.plan(dry_run=True), lambda _: "Begin this migration?")
        session.show(session.app.plan(dry_run=dry_run))
