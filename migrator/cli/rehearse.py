"""``migrator rehearse``: try the cutover, and take it back before anything is decided."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import leading_to, working


@click.command("rehearse", short_help="Rehearse the cutover: fence, drain, measure, roll back.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; write nothing.")
@with_options
def command(options: Options, dry_run: bool) -> None:
    """Rehearse the cutover: fence, drain, measure, roll back.

    Writers are held back for as long as they will be at the cutover, and go on; the state stays as it is.
    What [cutover] fence does before the locks is done, too: "read_only" ends the sessions.
    """
    with working(options, mutating=not dry_run) as session:
        if dry_run:
            session.show(session.app.preview_rehearsal())
            return
        session.agree(session.app.preview_rehearsal, lambda _: "Hold the writers back for a moment?")
        with leading_to("migrator rehearse"):
            session.show(session.app.rehearse())
