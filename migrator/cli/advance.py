"""``migrator advance``: go forward."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working
from migrator.workflow import parse_state


@click.command("advance", short_help="Go on to the next state, or to the one given.")
@click.option("--to", metavar="STATE", help="Go on until this state.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; write nothing.")
@with_options
def command(options: Options, to: str | None, dry_run: bool) -> None:
    """Go on to the next state, or to the one given.

    A run that was stopped goes on where it stopped.
    """
    target = parse_state(to) if to is not None else None
    with working(options, mutating=not dry_run) as session:
        if dry_run:
            session.show(session.app.preview_advance(target))
            return
        session.agree(
            lambda: session.app.preview_advance(target),
            lambda: f"Advance to {target}?" if target else "Advance to the next state?",
        )
        session.show(session.app.advance(target))
