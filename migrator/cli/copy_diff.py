"""``migrator copy-diff``: every table counted and every sequence compared, on both sides."""

from __future__ import annotations

import click

from migrator.cli.options import Options, stream_timeout, with_options
from migrator.cli.session import leading_to, working
from migrator.errors import Different

NAMED = 5


@click.command("copy-diff", short_help="Count every table and compare every sequence on both sides.")
@click.option(
    "--jobs", metavar="N", type=click.IntRange(min=1), help="Count so many at a time ([copy] jobs)."
)
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="Look again so often at what differs or is being written to.",
)
@stream_timeout
@with_options
def command(options: Options, jobs: int | None, rounds: int, timeout: float) -> None:
    """Count every table and compare every sequence on both sides, while the application writes on.

    What is being written to is looked at again, after the stream has brought what the first count saw.
    A table that is never still is told as moving: its counts prove no difference, and no equality. Equal
    counts do not say that the rows are the same. Nothing is written. Exit code 4 when a table or sequence
    differs, is missing on one side, or cannot be compared; -v lists the equal ones, too.
    """
    with working(options) as session, leading_to("migrator copy-diff"):
        report = session.app.copy_diff(jobs=jobs, rounds=rounds, timeout=timeout)
        differences = report.differences
        if not differences:
            session.show(report)
            return
        if not options.as_json:
            session.show(report)
        more = f" and {len(differences) - NAMED} more" if len(differences) > NAMED else ""
        raise Different(
            f"not the same on both sides: {', '.join(differences[:NAMED])}{more}",
            hint=report.next,
            **report.as_dict(),
        )
