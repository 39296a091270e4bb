"""``migrator diff``: whether both sides hold the same rows, or have the same schema."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli import diff_repair, diff_schema
from migrator.cli.options import Options, stream_timeout, with_options
from migrator.cli.output import answer, write_private
from migrator.cli.session import leading_to, working
from migrator.errors import UsageProblem

if TYPE_CHECKING:
    from migrator.data_diff import Options as Asked
    from migrator.report_diff import DataDiffReport


@click.command("diff", short_help="Compare the rows of both sides, while they change.")
@click.argument("tables", nargs=-1, metavar="[TABLE]...")
@click.option("--data", is_flag=True, help="Compare the rows, as without it.")
@click.option("--schema", "schemas", is_flag=True, help="Compare the schemas instead, object by object.")
@click.option(
    "--shadow", is_flag=True, help="With --schema: have one server print both, in a database of ours."
)
@click.option("--ddl", is_flag=True, help="With --schema: show both definitions of what differs.")
@click.option("--count", "only_count", is_flag=True, help="Count rows only; do not look into them.")
@click.option("--jobs", metavar="N", type=click.IntRange(min=1), help="Run so many scans at a time.")
@click.option(
    "--rows",
    metavar="N",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Show so many rows that differ, of each table.",
)
@click.option(
    "--rounds",
    metavar="N",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Look so often at a row that differs and is being written to.",
)
@stream_timeout
@click.option(
    "--fix-sql",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write what would make the rows that differ the same, for psql.",
)
@click.option("--repair", is_flag=True, help="Make the rows that differ the same, on the side that follows.")
@click.option("--anew", is_flag=True, help="Begin anew, where a run before was cut short.")
@click.option("--source", metavar="URL", help="Compare this database, of no migration,")
@click.option("--destination", metavar="URL", help="with this one.")
@with_options
def command(
    options: Options,
    tables: tuple[str, ...],
    data: bool,
    schemas: bool,
    shadow: bool,
    ddl: bool,
    only_count: bool,
    jobs: int | None,
    rows: int,
    rounds: int,
    timeout: float,
    fix_sql: Path | None,
    repair: bool,
    anew: bool,
    source: str | None,
    destination: str | None,
) -> None:
    """Compare the rows of both sides of the migration, or of any two databases.

    TABLE is a shell pattern on schema.table, or on the table's name alone; that of a partitioned table names
    its partitions, too. All are compared where there is none. The application may go on: what differs is
    looked at again until it is proven, in step with the stream; while that is late, nothing further is begun.
    Of two databases without a migration nobody knows such a stream, so they should be quiet. Nothing is
    written. A run that was cut short goes on where it stopped: within a week, and of two databases without a
    migration within a day.

    With --repair the rows that are proven different are then made what they are on the side that takes the
    writes, while the stream goes on: only the other side is written to. What is overwritten is put into a
    file before, beside the store or as --fix-sql says. The tables are compared once more in the end.

    With --schema every object's definition, owner and effective privileges are compared instead.

    Exit code 0 when all rows are equal, 4 when some differ, 5 when something could not be decided, or was
    not compared: also what [tables] excludes, unless the tables to compare are named, if only by '*'.
    """
    _refuse_half(source, destination)
    if data and schemas:
        raise UsageProblem("--data and --schema are asked one after the other", hint="migrator diff --schema")
    if schemas:
        _refuse_of_rows(tables, only_count, fix_sql, repair)
        diff_schema.run(options, source, destination, shadow=shadow, ddl=ddl)
        return
    _refuse_of_schemas(shadow, ddl)
    from migrator.data_diff import Options as Asked

    fixes = fix_sql is not None and not repair
    asked = Asked(tables, jobs or 0, rows, rounds, timeout, only_count, fix=fixes, anew=anew)
    if repair:
        _refuse_without_repair(source)
        _refuse_counted(only_count, "--repair", hint="migrator diff --repair")
        diff_repair.run(options, asked, fix_sql)
        return
    if fixes:
        _refuse_counted(only_count, "--fix-sql", hint="the same command without --count")
    if source and destination:
        report = _between(options, source, destination, asked)
    else:
        with working(options) as session, leading_to("migrator diff"):
            report = session.app.diff(asked)
            session.show(report)
    if fix_sql is not None:
        write_private(fix_sql, report.fix, hint="remove it, or name another")
    if report.exit_code:
        raise click.exceptions.Exit(report.exit_code)


def _refuse_half(source: str | None, destination: str | None) -> None:
    if bool(source) != bool(destination):
        raise UsageProblem(
            "--source and --destination go together", hint="migrator diff --source URL --destination URL"
        )


def _refuse_of_rows(tables: tuple[str, ...], only_count: bool, fix_sql: Path | None, repair: bool) -> None:
    if tables or only_count or fix_sql is not None or repair:
        raise UsageProblem(
            "--schema compares whole schemas: it takes no TABLE, no --count, no --fix-sql and no --repair",
            hint="migrator diff --schema",
        )


def _refuse_of_schemas(shadow: bool, ddl: bool) -> None:
    if shadow or ddl:
        raise UsageProblem(
            f"{'--shadow' if shadow else '--ddl'} is of a comparison of schemas, and --schema is not given",
            hint=f"migrator diff --schema {'--shadow' if shadow else '--ddl'}",
        )


def _refuse_counted(only_count: bool, asked: str, *, hint: str) -> None:
    if only_count:
        raise UsageProblem(f"{asked} needs to know the rows, and --count does not look into them", hint=hint)


def _refuse_without_repair(source: str | None) -> None:
    if source:
        raise UsageProblem(
            "--repair is for a migration: of two databases nobody knows which is right",
            hint="the same command with --fix-sql FILE instead, which writes what would mend the rows",
        )


def _between(options: Options, source: str, destination: str, asked: Asked) -> DataDiffReport:
    from migrator.config import CopySection
    from migrator.data_diff import diff_databases
    from migrator.render.renderer import choose

    with choose(options.as_json, sys.stderr, live=False, verbose=options.verbose) as renderer:
        asked = replace(asked, jobs=asked.jobs or CopySection().jobs)
        store = options.config_path.absolute().parent / ".migrator" / "comparisons.db"
        report = diff_databases(source, destination, renderer.handle, asked, store=f"sqlite:///{store}")
    answer(report, as_json=options.as_json, verbose=options.verbose)
    return report
