"""``migrator history``: everything that was tried."""

from __future__ import annotations

from dataclasses import replace

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working


@click.command("history", short_help="List everything that was tried.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the last N.")
@with_options
def command(options: Options, limit: int | None) -> None:
    """List everything that was tried, oldest first."""
    with working(options) as session:
        report = session.app.history()
        if limit is not None:
            report = replace(report, attempts=report.attempts[-limit:])
        session.show(report)
