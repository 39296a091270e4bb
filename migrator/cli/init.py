"""``migrator init``: write a commented configuration."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from migrator.cli.options import Options, with_options
from migrator.cli.output import say, say_json
from migrator.config_template import TEMPLATE
from migrator.errors import ConfigError, Refused

if TYPE_CHECKING:
    from pathlib import Path


@click.command("init", short_help="Write a commented migrator.toml.")
@with_options
def command(options: Options) -> None:
    """Write a commented migrator.toml (or --config FILE), never over an existing one."""
    path = options.config_path
    write_private(path, TEMPLATE)
    if options.as_json:
        say_json({"file": str(path), "next": "migrator plan"})
    else:
        say(f"{path}  written\n  next: edit source.url and destination.url, then migrator plan")


def write_private(path: Path, text: str, *, hint: str = "migrator --config OTHER init") -> None:
    """Write a new file that only its owner may read: it may hold a password.

    ``hint`` says what to do where there is one. Raises Refused, ConfigError.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{path} exists and was not touched", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
