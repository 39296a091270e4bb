"""Show events live on a terminal: a bar for the step at work, a ✓ line for each that is done."""

from __future__ import annotations

from contextlib import contextmanager
from textwrap import wrap
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from migrator.events import (
    CopyStarted,
    Event,
    SourceSampled,
    StateChanged,
    StepFailedEvent,
    StepFinished,
    StepFound,
    StepNote,
    StepProgress,
    StepStarted,
    TableProgressed,
    TransitionStarted,
)
from migrator.render import lines
from migrator.render.rate import Rate, progress_text
from migrator.render.renderer import Renderer
from migrator.render.units import visible

if TYPE_CHECKING:
    from collections.abc import Iterator


class Live(Renderer):
    """Draw on a terminal with rich."""

    def __init__(self, stream: TextIO, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self._console = Console(file=stream, highlight=False, soft_wrap=True)
        self._progress = Progress(
            # As wide as the sign of a finished line, so that names stand below each other.
            SpinnerColumn(table_column=Column(min_width=3, justify="right")),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(16, table_column=Column(min_width=16)),
            TimeElapsedColumn(),
            # The one column that gives way on a narrow terminal.
            TextColumn(
                "{task.fields[told]}",
                markup=False,
                table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
            ),
            console=self._console,
            expand=True,
            transient=True,
        )
        self._task: TaskID | None = None
        self._width = 0
        self._rate = Rate()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        """Take the bar off the screen; the finished lines stay."""
        self._progress.stop()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Leave the screen alone for as long as a question is asked."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()

    def handle(self, event: Event) -> None:
        """Show one event."""
        match event:
            case TransitionStarted():
                self._width = max(map(len, event.steps), default=0)
                self._say("bold", lines.transition_line(event))
            case StepStarted():
                self._begin(event)
            case StepFound():
                if self._verbose:
                    self._step("dim", "·", event.step, lines.found_line(event))
            case StepProgress():
                self._advance(event)
            case CopyStarted():
                self._say("dim", f"    {lines.copy_line(event)}")
            case TableProgressed():
                if self._verbose and event.state != "copying":
                    self._say("dim", f"    {lines.table_line(event)}")
            case SourceSampled():
                if self._verbose:
                    self._say("dim", f"    {lines.source_line(event)}")
            case StepNote():
                self._step("yellow", "·", event.step, lines.note_line(event))
            case StepFinished():
                self._end()
                self._step("green", "✓", event.step, lines.finished_line(event, self._verbose))
            case StepFailedEvent():
                self._end()
                self._step("red", "✗", event.step, lines.failed_line(event))
            case StateChanged():
                self._say("bold green", lines.state_line(event))
            case _:
                self._say("dim", lines.generic_line(event))

    def _begin(self, event: StepStarted) -> None:
        self._end()
        self._rate = Rate()
        self._task = self._progress.add_task(f"{event.step:<{self._width}}", total=None, told="")

    def _advance(self, event: StepProgress) -> None:
        self._rate.add(event)
        if self._task is None:
            self._task = self._progress.add_task(event.step, total=None, told="")
        what = f"  {visible(event.what)}" if event.what else ""
        self._progress.update(
            self._task,
            completed=event.done,
            total=event.total or None,
            told=progress_text(event, self._rate.per_second) + what,
        )

    def _end(self) -> None:
        if self._task is not None:
            self._progress.remove_task(self._task)
            self._progress.refresh()
            self._task = None

    def _step(self, style: str, sign: str, step: str, text: str) -> None:
        padded = f"{step:<{self._width}}"
        room = max(self._console.width - len(padded) - 6, 20)
        # A long note goes on below itself, not below the names.
        told = wrap(text, room, break_on_hyphens=False) or [""]
        self._console.print(f"  [{style}]{sign}[/] {escape(padded)}  {escape(told[0])}")
        for line in told[1:]:
            self._console.print(" " * (len(padded) + 6) + escape(line))

    def _say(self, style: str, text: str) -> None:
        self._console.print(f"[{style}]{escape(text)}[/]")
