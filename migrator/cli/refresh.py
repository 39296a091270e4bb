"""``migrator refresh``: take in tables that the source has got since."""

from __future__ import annotations

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import leading_to, working


@click.command("refresh", short_help="Take in tables that the source has got since the copy.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be done; write nothing.")
@with_options
def command(options: Options, dry_run: bool) -> None:
    """Take in tables and partitions that the source has got since the copy.

    They are created on the destination, published, copied and streamed; the application goes on, and
    the state stays as it is.
    """
    with working(options, mutating=not dry_run) as session:
        if dry_run:
            session.show(session.app.preview_refresh())
            return
        session.agree(session.app.preview_refresh, lambda _: "Take these tables in?")
        with leading_to("migrator refresh"):
            session.show(session.app.refresh())
