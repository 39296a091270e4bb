"""``migrator manual``: render the manual and the scripts of this migration."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say, say_json


@click.command("manual", short_help="Write the manual and the scripts of this migration.")
@click.option("--html", is_flag=True, help="Write README.html too, or with --output the manual as HTML.")
@click.option(
    "--output",
    metavar="FILE|-",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Write the manual alone, to FILE or to stdout.",
)
@with_options
def command(options: Options, html: bool, output: Path | None) -> None:
    """Write README.md, "activate" and the scripts beside migrator.toml, from what both servers say now.

    What migrator wrote before is replaced; a file of your own is not touched. A server that cannot be
    reached is told on stderr, and in the manual, which is written all the same.
    """
    from migrator.config import load
    from migrator.manual import files, render
    from migrator.manual.facts import gather

    loaded = load(options.config_path, options.migration)
    render.require_packages()
    facts = gather(loaded)
    directory = loaded.path.resolve().parent
    made = render.files(loaded, facts, html=html)
    if output is not None:
        wanted = render.PAGE if html else render.MANUAL
        made = [files.File(output.name, f.text, f.mode) for f in made if f.name == wanted]
        directory = output.absolute().parent
    if not options.as_json:
        for why in facts.unknown:
            say(f"warning: {why}", err=True)
    if output == Path("-"):
        if options.as_json:
            say_json({"text": made[0].text, "warnings": list(facts.unknown)})
        else:
            sys.stdout.write(made[0].text)
        return
    files.replace(directory, made)
    if options.as_json:
        say_json(
            {
                "directory": str(directory),
                "files": [file.name for file in made],
                "warnings": list(facts.unknown),
            }
        )
    else:
        say(f"{directory}  written: {', '.join(file.name for file in made)}")
