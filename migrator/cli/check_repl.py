"""``migrator check-repl``: which tables cannot be replicated, and what helps."""

from __future__ import annotations

from pathlib import Path

import click

from migrator.cli import check
from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.output import say
from migrator.cli.session import working


@click.command("check-repl", short_help="Tell which tables cannot be replicated, and give them an identity.")
@click.option("--apply", is_flag=True, help="Run the SQL on the source, after asking.")
@click.option("--fix-sql", metavar="FILE", type=click.Path(path_type=Path), help="Write the fixes for psql.")
@waive_option
@with_options
def command(options: Options, apply: bool, fix_sql: Path | None, waive: tuple[str, ...]) -> None:
    """Run the checks about replication, and tell the SQL that helps tables without a replica identity.

    With --apply that SQL is run on the source: alter table … replica identity, each in a transaction of
    its own. What the tables had before is recorded there, and given back by rollback-to planned and at
    the end. Exit code 4 when a finding blocks.
    """
    with working(options, mutating=apply) as session:
        session.app.waive(waive)
        if apply:
            question = "Run the SQL of replica_identity on the source?"
            session.consent(session.app.check(("repl",)), question)
            for statement in session.app.identify():
                say(statement, err=options.as_json)
        check.run(session, "repl", fix_sql=fix_sql)
