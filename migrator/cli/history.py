"""``migrator history``: everything that was tried."""

from __future__ import annotations

from dataclasses import replace

import click

from migrator.cli.options import Options, with_options
from migrator.cli.session import working

# The steps in which writers are held back.
SWITCHOVERS = ("hand_over", "hand_back", "rehearse")


@click.command("history", short_help="List everything that was tried.")
@click.option("--limit", metavar="N", type=click.IntRange(min=1), help="Only the last N.")
@click.option("--cutover", is_flag=True, help="Only the switchovers, and where each pause went.")
@with_options
def command(options: Options, limit: int | None, cutover: bool) -> None:
    """List everything that was tried, oldest first."""
    with working(options) as session:
        report = session.app.history()
        if cutover:
            report = replace(report, attempts=tuple(a for a in report.attempts if a.step in SWITCHOVERS))
        if limit is not None:
            report = replace(report, attempts=report.attempts[-limit:])
        session.show(report)
