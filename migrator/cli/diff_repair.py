"""``migrator diff --repair``: what differs is shown, asked about, and made the same."""

from __future__ import annotations

import time
from itertools import chain, count
from typing import TYPE_CHECKING

import click

from migrator.cli.output import write_private
from migrator.cli.session import leading_to, working

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from migrator.cli.options import Options
    from migrator.data_diff import Options as Asked
    from migrator.data_repair import Found

COMMAND = "migrator diff --repair"
# So many tables are named in the question.
NAMED = 10


def run(options: Options, asked: Asked, file: Path | None) -> None:
    """Compare; ask about what can be repaired, repair it, show what was done and what is left.

    What was there before goes into ``file``, or one beside the store. Ends with the exit code of the
    comparison afterwards.
    """
    with working(options, mutating=True) as session, leading_to(COMMAND):
        found = session.app.compared(asked)
        if not found.proven:
            session.show(found.report)
            _end(found.report.exit_code)
            return
        session.consent(found.report, _question(found))
        path = file or _new_file(session.app.directory)

        def write(lines: Iterator[str]) -> str:
            write_private(path, lines, hint="remove it, or name another by --fix-sql")
            return str(path)

        report = session.app.repair(found, asked, write=write)
        session.show(report)
    _end(report.exit_code)


def _new_file(directory: Path) -> Path:
    stem = time.strftime("repair-%Y%m%d-%H%M%S", time.gmtime())
    paths = (directory / f"{stem}{number}.sql" for number in chain([""], map("-{}".format, count(2))))
    return next(path for path in paths if not path.exists())


def _question(found: Found) -> str:
    from migrator.render.units import plural, visible

    tables = [
        f"{visible(t.label)} (all of it, copied again)"
        if t.whole
        else f"{visible(t.label)} ({plural(len(t.differences), 'row')})"
        for t in found.proven
    ]
    more = [f"{plural(len(tables) - NAMED, 'table')} more"] if len(tables) > NAMED else []
    return f"Repair on the {found.side}: {', '.join(tables[:NAMED] + more)}?"


def _end(code: int) -> None:
    if code:
        raise click.exceptions.Exit(code)
