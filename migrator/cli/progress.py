"""``migrator progress``: how far the copy is."""

from __future__ import annotations

import sys
import time

import click

from migrator.cli.options import Options, Seconds, with_options
from migrator.cli.session import working


@click.command("progress", short_help="Tell how far the initial copy and the stream are.")
@click.option(
    "--watch",
    metavar="SECONDS",
    type=Seconds(min=0.1),
    help="Look again every so many seconds, until interrupted.",
)
@with_options
def command(options: Options, watch: float | None) -> None:
    """Tell how far the initial copy and the stream are."""
    with working(options) as session:
        while True:
            report = session.app.progress()
            if watch is not None and not options.as_json and sys.stdout.isatty():
                click.clear()
            session.show(report)
            if watch is None:
                return
            time.sleep(watch)
