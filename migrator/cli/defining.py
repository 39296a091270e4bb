"""What the commands share that write the definition of a new cluster."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

import click

from migrator.cli.output import say, say_json, write_private
from migrator.cli.session import working

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.cli.options import Options
    from migrator.manual.definition import Form
    from migrator.manual.inventory import Part

P = ParamSpec("P")
R = TypeVar("R")


def definition_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the options that say in which form to write, and where to."""
    form = click.option(
        "--format",
        "form",
        type=click.Choice(["pigsty", "sql", "json"]),
        help="YAML for Pigsty (default), SQL for psql or lines of pg_hba.conf, or JSON.",
    )
    output = click.option(
        "--output",
        metavar="FILE",
        type=click.Path(path_type=Path),
        help="Write a new file, which only its owner may read, instead of stdout.",
    )
    return form(output(function))


def passwords_option(function: Callable[P, R]) -> Callable[P, R]:
    """Add the option without which no password is written."""
    return click.option(
        "--with-passwords", is_flag=True, help="Write hashes of passwords and other secrets."
    )(function)


def write_definition(
    options: Options,
    part: Part,
    form: str | None,
    output: Path | None,
    *,
    with_passwords: bool = False,
    empty: bool = False,
) -> None:
    """Write one part of the definition on stdout, or in a file of its own; nothing else is on stdout."""
    if options.as_json and output is None and form not in (None, "json"):
        raise click.UsageError(f"--json and --format {form} cannot both be")
    chosen = cast("Form", form or ("json" if options.as_json else "pigsty"))
    with working(options) as session:
        text = session.app.definition([part], chosen, with_passwords=with_passwords, empty=empty)
    if output is None:
        # UTF-8 whatever the terminal's encoding: a name with other letters in it is another name.
        say(text.rstrip("\n").encode())
        return
    write_private(output, text, hint="remove it, or --output OTHER")
    if options.as_json:
        say_json({"file": str(output)})
    else:
        say(f"{output}  written")
