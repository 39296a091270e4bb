"""``migrator diff --schema``: every object of both schemas compared."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from migrator.cli.output import answer, say
from migrator.cli.session import ask, leading_to, working
from migrator.errors import NeedsConfirmation

if TYPE_CHECKING:
    from migrator.cli.options import Options
    from migrator.report_diff_schema import SchemaDiffReport

COMMAND = "migrator diff --schema"


def run(
    options: Options,
    source: str | None = None,
    destination: str | None = None,
    *,
    shadow: bool = False,
    ddl: bool = False,
) -> None:
    """Compare the migration's two sides, or the databases of two urls; show, end with the exit code.

    ``ddl`` adds both definitions of what differs. Exit code 4 when something differs, 5 when something could
    not be compared or is yet to come.
    """
    with leading_to(COMMAND):
        if source is None or destination is None:
            with working(options, mutating=shadow) as session:
                report = session.app.diff_schema(shadow=shadow)
        else:
            report = _between(options, source, destination, shadow=shadow)
    answer(report, as_json=options.as_json, verbose=options.verbose)
    if ddl and not options.as_json:
        _show_ddl(report, options)
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _between(options: Options, source: str, destination: str, *, shadow: bool) -> SchemaDiffReport:
    from migrator.diff_schema import diff_schemas
    from migrator.render.renderer import choose

    if shadow and not options.yes and not sys.stdin.isatty():
        raise NeedsConfirmation(
            "--shadow makes a temporary database and there is no terminal to ask at; nothing was done",
            hint="the same command with --yes",
        )
    with choose(options.as_json, sys.stderr, live=False, verbose=options.verbose) as renderer:
        return diff_schemas(
            source,
            destination,
            renderer.handle,
            shadow=shadow,
            confirm=lambda question: options.yes or ask(question, renderer),
        )


def _show_ddl(report: SchemaDiffReport, options: Options) -> None:
    from migrator.render.diff_schema import NOISE
    from migrator.render.diff_schema import ddl as lines_of

    shown = [d for d in report.differences if options.verbose or d.verdict != NOISE]
    if shown:
        say("\n".join(["", *lines_of(shown)]).rstrip())
