"""``migrator check``: what must be fixed before the migration can go on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.output import write_private
from migrator.cli.session import Session, working

if TYPE_CHECKING:
    from migrator.manual.definition import Form

BLOCKED = 4
FORMS: dict[str, Form] = {".sql": "sql", ".json": "json"}
GROUPS = ("user", "db", "hba", "repl", "misc")


@click.command("check", short_help="Tell what must be fixed before the migration can go on.")
@click.argument("group", type=click.Choice(["all", *GROUPS]), default="all")
@click.option("--before", metavar="TRANSITION", help="Check for it, or for plan, instead of what is next.")
@click.option("--fix-sql", metavar="FILE", type=click.Path(path_type=Path), help="Write the fixes for psql.")
@click.option(
    "--definition",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write the source's roles, database and pg_hba.conf as the definition of a new cluster: "
    "YAML for Pigsty, or what .sql or .json says.",
)
@waive_option
@with_options
def command(
    options: Options,
    group: str,
    before: str | None,
    fix_sql: Path | None,
    definition: Path | None,
    waive: tuple[str, ...],
) -> None:
    """Look at both servers and tell what must be fixed before the migration can go on.

    Runs the checks that guard what comes next, or those of one GROUP: user, db, hba, repl or misc.
    Exit code 4 when a finding blocks. Nothing is changed.
    """
    with working(options) as session:
        session.app.waive(waive)
        if definition is not None:
            from migrator.manual.inventory import PARTS

            form = FORMS.get(definition.suffix, "pigsty")
            write_private(definition, session.app.definition(PARTS, form), hint="remove it, or name another")
        run(session, group, before or "", fix_sql)


def run(session: Session, group: str, before: str = "", fix_sql: Path | None = None) -> None:
    """Check, show, and end with the exit code."""
    report = session.app.check(GROUPS if group == "all" else (group,), before)
    session.show(report)
    if fix_sql is not None:
        from migrator.render.findings import fix_sql as script

        where = {"source": report.source, "destination": report.destination}
        write_private(fix_sql, script(report.findings, where), hint="remove it, or name another")
    if report.blocked:
        raise click.exceptions.Exit(BLOCKED)
