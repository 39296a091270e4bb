"""Write answers to stdout or a private file and refusals to stderr, or as JSON, whoever still reads them."""

from __future__ import annotations

import os
import select
import sys
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from migrator.errors import MigratorError
    from migrator.report import Report


def say(text: str | bytes, *, err: bool = False) -> None:
    """Write one line; a reader that has gone is no error of ours."""
    try:
        click.echo(text, err=err, color=False if os.environ.get("NO_COLOR") else None)
    except BrokenPipeError:
        _to_nowhere(sys.stderr if err else sys.stdout)


def write_private(
    path: Path, text: str | Iterable[str], *, hint: str = "migrator --config OTHER init"
) -> None:
    """Write a new file that only its owner may read: it may hold a password. It is on disk afterwards.

    ``hint`` says what to do where there is one. Raises Refused, ConfigError.
    """
    from migrator.errors import ConfigError, Refused

    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Refused(f"{path} exists and was not touched", hint=hint) from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from None
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        try:
            file.writelines([text] if isinstance(text, str) else text)
        except BaseException:
            path.unlink()
            raise
        file.flush()
        os.fsync(file.fileno())


def nobody_reads() -> bool:
    """Return whether stdout has lost its reader; if so, drop what is left for it."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    gone = any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    if gone:
        _to_nowhere(sys.stdout)
    return gone


def _to_nowhere(stream: TextIO) -> None:
    # What is still buffered would fail again when Python exits.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def say_json(value: Any) -> None:
    """Write one JSON object on stdout, on one line."""
    from migrator.render.jsonl import encode

    say(encode(value))


def answer(report: Report, *, as_json: bool, verbose: bool = False) -> None:
    """Write a command's result."""
    if as_json:
        say_json(report.as_dict())
    else:
        say("\n".join(text_lines(report, verbose)))


def text_lines(report: Report, verbose: bool = False) -> list[str]:
    """Return a report as lines for people."""
    from migrator.render.text import text

    return text(report, verbose)


def refuse(error: MigratorError, *, as_json: bool) -> int:
    """Write an error and its hint; return the exit code."""
    from migrator.pg.redact import redact

    if as_json:
        say_json(_redacted(error.as_dict()))
        return error.exit_code
    lines = [f"error: {error.message}"]
    lines += _finding_lines(error.fields.get("findings", ()))
    if error.hint:
        lines.append(f"hint: {error.hint}")
    say(redact("\n".join(lines)), err=True)
    return error.exit_code


def _redacted(value: Any) -> Any:
    """Return JSON-ready data with every text in it redacted."""
    from migrator.pg.redact import redact

    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {key: _redacted(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_redacted(one) for one in value]
    return value


def _finding_lines(found: Any) -> list[str]:
    if not found:
        return []
    from migrator.render.findings import findings
    from migrator.report import FindingReport

    return findings([f if isinstance(f, FindingReport) else FindingReport(**f) for f in found])
