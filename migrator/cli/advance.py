"""``migrator advance``: go forward."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.session import working
from migrator.workflow import TRANSITIONS, parse_state

if TYPE_CHECKING:
    from migrator.report import PlanReport


@click.command("advance", short_help="Go on to the next state, or to the one given.")
@click.option("--to", metavar="STATE", help="Go on until this state.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; write nothing.")
@waive_option
@with_options
def command(options: Options, to: str | None, dry_run: bool, waive: tuple[str, ...]) -> None:
    """Go on to the next state, or to the one given.

    A run that was stopped goes on where it stopped.
    """
    target = parse_state(to) if to is not None else None
    with working(options, mutating=not dry_run) as session:
        session.app.waive(waive)
        if dry_run:
            session.show(session.app.preview_advance(target))
            return
        session.agree(lambda: session.app.preview_advance(target), question)
        session.show(session.app.advance(target))


def question(preview: PlanReport) -> str:
    """Ask for the state by name, and say so when there is no way back from it."""
    ahead = {transition.name for transition in preview.transitions}
    final = any(t.no_return_at for t in TRANSITIONS if t.name in ahead)
    beyond = ", past the point of no return" if final else ""
    return f"Advance to {preview.transitions[-1].target}{beyond}?"
