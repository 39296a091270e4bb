"""``migrator copy-seq [N]``: bring the destination's sequences to the source's position."""

from __future__ import annotations

import click

from migrator.cli.options import Options, waive_option, with_options
from migrator.cli.parts import run, show_sql_option

MOST = 2**62 - 1


@click.command("copy-seq", short_help="Bring the destination's sequences to the source's position.")
@click.argument("shift", metavar="[N]", type=click.IntRange(0, MOST), required=False)
@show_sql_option
@waive_option
@with_options
def command(options: Options, shift: int | None, show_sql: bool, waive: tuple[str, ...]) -> None:
    """Bring the destination's sequences to the source's position, N values further.

    Without N, as far as [sequences] shift says. Never backwards; may be repeated until the cutover, which
    does it once more when writes are held back.
    """
    run(options, "copy-seq", "Set the destination's sequences?", show_sql=show_sql, waive=waive, shift=shift)
