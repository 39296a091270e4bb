"""``migrator check``: what must be fixed before the migration can go on."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli.init import write_private
from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.session import Session, working

BLOCKED = 4
GROUPS = ("user", "db", "hba", "repl", "misc")


@click.command("check", short_help="Tell what must be fixed before the migration can go on.")
@click.argument("group", type=click.Choice(["all", *GROUPS]), default="all")
@click.option("--before", metavar="TRANSITION", help="Check for it, or for plan, instead of what is next.")
@click.option("--fix-sql", metavar="FILE", type=click.Path(path_type=Path), help="Write the fixes for psql.")
@waive_option
@with_options
def command(
    options: Options, group: str, before: str | None, fix_sql: Path | None, waive: tuple[str, ...]
) -> None:
    """Look at both servers and tell what must be fixed before the migration can go on.

    Runs the checks that guard what comes next, or those of one GROUP: user, db, hba, repl or misc.
    Exit code 4 when a finding blocks. Nothing is changed.
    """
    with working(options) as session:
        session.app.waive(waive)
        run(session, group, before or "", fix_sql)


def run(session: Session, group: str, before: str = "", fix_sql: Path | None = None) -> None:
    """Check, show, and end with the exit code."""
    report = session.app.check(GROUPS if group == "all" else (group,), before)
    session.show(report)
    if fix_sql is not None:
        from migrator.render.findings import fix_sql as script

        where = {"source": report.source, "destination": report.destination}
        write_private(fix_sql, script(report.findings, where))
    if report.blocked:
        raise click.exceptions.Exit(BLOCKED)
