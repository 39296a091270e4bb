"""``migrator rehearse``: try the cutover, and take it back before anything is decided."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working
from migrator.errors import StepFailed


@click.command("rehearse", short_help="Rehearse the cutover: fence, drain, measure, roll back.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; write nothing.")
@with_options
def command(options: Options, dry_run: bool) -> None:
    """Rehearse the cutover: fence, drain, measure, roll back.

    Writers are held back for as long as they will be at the cutover, and go on; the state stays as it is.
    """
    with working(options, mutating=not dry_run) as session:
        if dry_run:
            session.show(session.app.preview_rehearsal())
            return
        session.agree(session.app.preview_rehearsal, lambda _: "Hold the writers back for a moment?")
        try:
            session.show(session.app.rehearse())
        except StepFailed as error:
            # What a step says is meant for going to the next state.
            if error.hint == "migrator advance":
                error.hint = "migrator rehearse"
            raise
