"""Show events as plain lines: for logs, pipes and terminals that cannot do more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TextIO

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
from migrator.render.renderer import Line, Renderer
from migrator.render.units import visible

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_SECONDS = 5.0


class Plain(Renderer):
    """Write one line per event; of progress, one line every few seconds."""

    def __init__(
        self,
        stream: TextIO,
        *,
        verbose: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._line = Line(stream)
        self._verbose = verbose
        self._now = now
        self._width = 0
        self._rate = Rate(now)
        self._told_at = now()

    def handle(self, event: Event) -> None:
        """Show one event."""
        match event:
            case TransitionStarted():
                self._width = max(map(len, event.steps), default=0)
                self._line(lines.transition_line(event))
            case StepStarted():
                self._rate = Rate(self._now)
                self._told_at = self._now()
                number = f"{event.number}/{event.total}"
                self._step(event.step, f"{'undoing' if event.undo else 'working'}  {number}")
            case StepFound():
                if self._verbose:
                    self._step(event.step, lines.found_line(event))
            case StepProgress():
                self._progress(event)
            case CopyStarted():
                self._line(f"    {lines.copy_line(event)}")
            case TableProgressed():
                if self._verbose and event.state != "copying":
                    self._line(f"    {lines.table_line(event)}")
            case SourceSampled():
                if self._verbose:
                    self._line(f"    {lines.source_line(event)}")
            case StepNote():
                self._step(event.step, lines.note_line(event))
            case StepFinished():
                self._step(event.step, lines.finished_line(event, self._verbose))
            case StepFailedEvent():
                self._step(event.step, lines.failed_line(event))
            case StateChanged():
                self._line(lines.state_line(event))
            case _:
                self._line(lines.generic_line(event))

    def _progress(self, event: StepProgress) -> None:
        self._rate.add(event)
        if self._now() - self._told_at < INTERVAL_SECONDS:
            return
        self._told_at = self._now()
        what = f"  {visible(event.what)}" if event.what else ""
        self._step(event.step, progress_text(event, self._rate.per_second) + what)

    def _step(self, step: str, text: str) -> None:
        self._line(f"  {step:<{self._width}}  {text}")
