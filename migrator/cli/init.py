"""``migrator init``: write a commented configuration, or a whole context."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say, say_json, write_private
from migrator.config_template import TEMPLATE

if TYPE_CHECKING:
    from migrator.manual.contexts import NewContext


@click.command("init", short_help="Write a commented migrator.toml, or a whole context.")
@click.option("--source", metavar="URL", help="The database that takes the writes now.")
@click.option("--destination", metavar="URL", help="The database that will take them.")
@click.option("--source-cluster", metavar="NAME", help="What the source's cluster is called (its host).")
@click.option("--destination-cluster", metavar="NAME", help="What the destination's is called (its host).")
@click.option(
    "--from-pigsty",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Take the variables of an old context file (YAML).",
)
@click.option("--context-dir", metavar="DIR", help="Where contexts are (~/migration).")
@with_options
def command(
    options: Options,
    source: str | None,
    destination: str | None,
    source_cluster: str | None,
    destination_cluster: str | None,
    from_pigsty: Path | None,
    context_dir: str | None,
) -> None:
    """Write a commented migrator.toml (or --config FILE), never over an existing one.

    With --source and --destination, or --from-pigsty, make a context instead: the directory
    DIR/CLUSTER.DATABASE with migrator.toml filled in, the manual of this migration, "activate", and a
    script for each command of the old manual.
    """
    of_urls = {
        "--source": source,
        "--destination": destination,
        "--source-cluster": source_cluster,
        "--destination-cluster": destination_cluster,
    }
    given = [name for name, value in of_urls.items() if value is not None]
    if from_pigsty is not None:
        if given:
            raise click.UsageError(f"--from-pigsty takes the place of {', '.join(given)}")
        from migrator.manual import context_file

        new, notes = context_file.read(from_pigsty, context_dir or "")
        make(options, new, notes)
    elif given or context_dir is not None:
        if source is None or destination is None:
            raise click.UsageError("a context needs --source URL and --destination URL, or --from-pigsty")
        from migrator.manual import contexts

        new = contexts.from_urls(
            source,
            destination,
            source_cluster or "",
            destination_cluster or "",
            context_dir or contexts.DEFAULT_DIRECTORY,
        )
        make(options, new, [])
    else:
        path = options.config_path
        write_private(path, TEMPLATE)
        if options.as_json:
            say_json({"file": str(path), "next": "migrator plan"})
        else:
            say(f"{path}  written\n  next: edit source.url and destination.url, then migrator plan")


def make(options: Options, new: NewContext, notes: list[str]) -> None:
    """Make a context and say so; what was not used or not found out goes to stderr."""
    from migrator.manual.contexts import begin

    begun = begin(new)
    if options.as_json:
        say_json(
            {
                "directory": str(begun.directory),
                "files": list(begun.files),
                "warnings": list(begun.unknown),
                "notes": notes,
                "next": begun.next,
            }
        )
        return
    for line in [*(f"note: {note}" for note in notes), *(f"warning: {why}" for why in begun.unknown)]:
        say(line, err=True)
    say(f"{begun.directory}  made, with {', '.join(begun.files)}\n  next: {begun.next}")
