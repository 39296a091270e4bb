"""The options that every command takes, before or after the command's name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import wraps
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")


class Seconds(click.FloatRange):
    """A number of seconds, which ``nan`` and ``inf`` are none of."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail as any other value that cannot be used does."""
        number = float(super().convert(value, param, ctx))
        if not isfinite(number):
            self.fail(f"{value!r} is not a number of seconds.", param, ctx)
        return number


# Of the commands that compare while the application writes.
stream_timeout = click.option(
    "--timeout",
    metavar="SECONDS",
    type=Seconds(min=0, min_open=True),
    default=60,
    show_default=True,
    help="Wait so long for the stream, each time.",
)


@dataclass(frozen=True)
class Options:
    """What was given; ``config`` is None when neither option nor environment names a file."""

    config: Path | None = None
    migration: str | None = None
    as_json: bool = False
    yes: bool = False
    verbose: bool = False

    @property
    def config_path(self) -> Path:
        """Return the configuration file to use."""
        from migrator.config import DEFAULT_FILE

        return self.config or Path(DEFAULT_FILE)


def _declare(envvar: str | None) -> tuple[Callable[[Any], Any], ...]:
    return (
        click.option(
            "--config",
            metavar="FILE",
            type=click.Path(path_type=Path),
            envvar=envvar,
            help="Configuration file (default: migrator.toml, or MIGRATOR_CONFIG).",
        ),
        click.option("--migration", metavar="NAME", help="Refuse any other migration than this."),
        click.option("--json", "as_json", is_flag=True, help="Answer with one JSON object."),
        click.option("--yes", is_flag=True, help="Do not ask."),
        click.option("-v", "--verbose", is_flag=True, help="Tell more."),
    )


# The environment belongs to the group only: after a command's name it would win over a --config
# that was given before it.
_OF_GROUP = _declare("MIGRATOR_CONFIG")
_OF_COMMAND = _declare(None)


def waive_option(function: Callable[..., R]) -> Callable[..., R]:
    """Add the option that names findings to go on with."""
    return click.option(
        "--waive",
        metavar="CODE=REASON",
        multiple=True,
        help="Go on with a check's findings, or with CODE:SUBJECT, for a reason that is written down.",
    )(function)


def group_options(function: Callable[P, R]) -> Callable[P, R]:
    """Add the global options to the group."""
    for option in reversed(_OF_GROUP):
        function = option(function)
    return function


def with_options(function: Callable[..., R]) -> Callable[..., R]:
    """Add the global options to a command and pass both places' values as one ``Options``.

    What is given after the command's name wins; flags given in either place hold.
    """

    @wraps(function)
    @click.pass_context
    def merged(
        context: click.Context,
        /,
        *,
        config: Path | None,
        migration: str | None,
        as_json: bool,
        yes: bool,
        verbose: bool,
        **own: Any,
    ) -> R:
        before = context.obj if isinstance(context.obj, Options) else Options()
        options = Options(
            config=config or before.config,
            migration=migration or before.migration,
            as_json=as_json or before.as_json,
            yes=yes or before.yes,
            verbose=verbose or before.verbose,
        )
        return function(options, **own)

    for option in reversed(_OF_COMMAND):
        merged = option(merged)
    return merged
