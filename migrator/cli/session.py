"""What commands share: the open application, the events' renderer, the operator's consent."""

from __future__ import annotations

import gc
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from migrator.cli.output import answer, say, text_lines
from migrator.errors import Declined, NeedsConfirmation, StepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.app import App
    from migrator.cli.options import Options
    from migrator.events import Emit
    from migrator.render.renderer import Renderer
    from migrator.report import PlanReport, Report


class Session:
    """One command at work: the application and the ways to tell and to ask."""

    def __init__(self, options: Options, app: App, renderer: Renderer) -> None:
        self.app = app
        self._options = options
        self._renderer = renderer

    def show(self, report: Report) -> None:
        """Write the command's result on stdout."""
        with self._renderer.paused():
            answer(report, as_json=self._options.as_json, verbose=self._options.verbose)

    def agree(self, preview: Callable[[], PlanReport], question: Callable[[PlanReport], str]) -> None:
        """Show what will be done and ask about it, unless ``--yes``. Raises Declined when it is no.

        The preview goes to stderr: it is part of the question, stdout is for the result.
        """
        if not self._options.yes:
            report = preview()
            self.consent(report, question(report))

    def consent(self, report: Report, question: str) -> None:
        """Show a report and ask, unless ``--yes``. Raises Declined when it is no."""
        if self._options.yes:
            return
        with self._renderer.paused():
            say("\n".join(text_lines(report, self._options.verbose)), err=True)
        if not ask(question, self._renderer):
            raise Declined("declined; nothing was done")


@contextmanager
def working(options: Options, *, mutating: bool = False) -> Iterator[Session]:
    """Open the application for one command, its events shown on stderr.

    A ``mutating`` command without ``--yes`` needs a terminal to ask at, and is refused before
    anything is opened when there is none.
    """
    if mutating and not options.yes and not sys.stdin.isatty():
        raise NeedsConfirmation(
            "this command changes something and there is no terminal to ask at; nothing was done",
            hint="the same command with --yes",
        )
    from migrator.render.renderer import choose

    with choose(options.as_json, sys.stderr, live=mutating, verbose=options.verbose) as renderer:

        def confirm(question: str) -> bool:
            return options.yes or ask(question, renderer)

        with open_app(options, renderer.handle, confirm) as app:
            yield Session(options, app, renderer)


@contextmanager
def leading_to(command: str) -> Iterator[None]:
    """Have a failing step's hint name ``command``: what it says is meant for going to the next state."""
    try:
        yield
    except StepFailed as error:
        if error.hint == "migrator advance":
            error.hint = command
        raise


def open_app(options: Options, emit: Emit, confirm: Callable[[str], bool]) -> App:
    """Open the application that the options mean."""
    # So much is imported here that looking for garbage among it takes a third of the time of ``status``.
    gc.disable()
    from migrator.app import App

    gc.freeze()
    gc.enable()
    return App.open(options.config_path, options.migration, emit=emit, confirm=confirm)


def ask(question: str, renderer: Renderer) -> bool:
    """Ask on the terminal; only yes is yes."""
    with renderer.paused():
        return click.confirm(question, default=False, err=True)
