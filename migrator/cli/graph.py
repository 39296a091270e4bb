"""``migrator graph``: the states as a diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say, say_json
from migrator.cli.session import working
from migrator.errors import UnknownMigration
from migrator.workflow import diagram

if TYPE_CHECKING:
    from migrator.workflow import State


@click.command("graph", short_help="Draw the states as a mermaid diagram.")
@click.option(
    "--format",
    "_format",
    type=click.Choice(["mermaid"]),
    default="mermaid",
    show_default=True,
    expose_value=False,
    help="How to draw.",
)
@with_options
def command(options: Options) -> None:
    """Draw the states as a mermaid diagram, the current one marked.

    Without a migrator.toml, or before the plan, no state is marked.
    """
    state = current_state(options)
    if options.as_json:
        say_json({"state": state, "mermaid": diagram(state)})
    else:
        say(diagram(state).rstrip())


def current_state(options: Options) -> State | None:
    """Return the state of the migration that the options mean, or None when there is none yet."""
    if options.config is None and not options.config_path.exists():
        return None
    try:
        with working(options) as session:
            return session.app.state()
    except UnknownMigration:
        return None
