"""``migrator rollback-to STATE``: go back."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import leading_to, working
from migrator.workflow import parse_state


@click.command("rollback-to", short_help="Undo back to an earlier state.")
@click.argument("state")
@click.option("--dry-run", is_flag=True, help="Only tell what would be undone; write nothing.")
@with_options
def command(options: Options, state: str, dry_run: bool) -> None:
    """Undo back to an earlier STATE.

    Given the current state, undo what an unfinished advance left behind.
    """
    target = parse_state(state)
    with working(options, mutating=not dry_run) as session:
        if dry_run:
            session.show(session.app.preview_rollback(target))
            return
        session.agree(lambda: session.app.preview_rollback(target), lambda _: f"Roll back to {target}?")
        with leading_to(f"migrator rollback-to {target}"):
            session.show(session.app.rollback(target))
