"""Commands that run a part of the workflow, each by the name of the script that it replaces."""

from __future__ import annotations

import click

from migrator.cli.main import COMMANDS
from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.output import say
from migrator.cli.session import leading_to, working

show_sql_option = click.option("--show-sql", is_flag=True, help="Only show the SQL; write nothing.")


def part_command(name: str, more: str, question: str) -> click.Command:
    """Return the command that runs the part ``name``, after showing its SQL and asking ``question``."""
    summary = COMMANDS[name]

    @click.command(name, help=f"{summary}\n\n{more}", short_help=summary)
    @show_sql_option
    @waive_option
    @with_options
    def command(options: Options, show_sql: bool, waive: tuple[str, ...]) -> None:
        run(options, name, question, show_sql=show_sql, waive=waive)

    return command


def run(
    options: Options,
    name: str,
    question: str,
    *,
    show_sql: bool,
    waive: tuple[str, ...],
    shift: int | None = None,
) -> None:
    """Show what the part would do, ask, and do it."""
    with working(options, mutating=not show_sql) as session:
        session.app.waive(waive)
        if shift is not None:
            session.app.shift(shift)
        if show_sql:
            report = session.app.preview_part(name)
            if options.as_json:
                session.show(report)
            else:
                from migrator.render.sql import statements

                say("\n".join(statements(report.sql)))
            return
        session.agree(lambda: session.app.preview_part(name), lambda _: question)
        with leading_to(f"migrator {name}"):
            session.show(session.app.run_part(name))
