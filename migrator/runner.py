"""Run transitions: intent, probe, apply, verify, evidence; forwards and backwards. No SQL, no printing.

A failure leaves the state as it is: the next run probes the servers and goes on from what is there.
A killed run takes the same road, because nothing but the servers is believed.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from migrator import events
from migrator.errors import Conflict as ConflictError
from migrator.errors import MigratorError, VerifyFailed
from migrator.step import Conflict, Done, Evidence, Found, Partial, Step, load_step

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.context import WriteContext
    from migrator.store.journal import Journal
    from migrator.workflow import State, Transition

Kind = Literal["apply", "undo"]


class Runner:
    """Drive one migration's steps through the journal."""

    def __init__(self, journal: Journal, migration_id: int, ctx: WriteContext) -> None:
        self.journal = journal
        self.migration_id = migration_id
        self.ctx = ctx

    def advance(self, transition: Transition) -> None:
        """Run a transition's steps in order, then move the state.

        Raises whatever the first failing step raises, recorded in the journal; StaleState when the
        state was moved by somebody else meanwhile.
        """
        self.run_steps(transition)
        self.journal.move(self.migration_id, transition.source, transition.target)
        self.ctx.emit(events.StateChanged(transition.source, transition.target))

    def run_steps(self, transition: Transition) -> None:
        """Run a transition's steps in order, and leave the state as it is."""
        self._announce(transition, undo=False)
        for number, name in enumerate(transition.steps, 1):
            self._run(transition, load_step(name), number, "apply", self._apply)

    def undo(self, transition: Transition, state: State) -> None:
        """Undo a transition's steps in reverse order.

        When ``state`` is where the transition led to, the state moves back first: what the earlier
        state says is true all along, and a rollback that is cut short goes on, or forwards again,
        from there.
        """
        self._announce(transition, undo=True)
        if state is transition.target:
            self.journal.move(self.migration_id, transition.target, transition.source)
            self.ctx.emit(events.StateChanged(transition.target, transition.source))
        for number, name in enumerate(reversed(transition.steps), 1):
            step = load_step(name)
            if not step.gate:
                self._run(transition, step, number, "undo", self._undo)

    def _announce(self, transition: Transition, *, undo: bool) -> None:
        here, there = transition.source, transition.target
        if undo:
            here, there = there, here
        self.ctx.emit(events.TransitionStarted(transition.name, here, there, transition.steps, undo))

    def _run(
        self,
        transition: Transition,
        step: Step,
        number: int,
        kind: Kind,
        work: Callable[[Step, Found], Evidence | None],
    ) -> None:
        undo = kind == "undo"
        self.ctx.step = step.name
        attempt = self.journal.begin(self.migration_id, transition.name, step.name, kind)
        self.ctx.emit(events.StepStarted(transition.name, step.name, number, len(transition.steps), undo))
        started = time.monotonic()
        try:
            found = step.probe(self.ctx)
            self.ctx.emit(events.StepFound(step.name, _word(found), _detail(found)))
            evidence = work(step, found)
        except BaseException as error:
            told = _told(error)
            self.journal.fail(attempt, told)
            self.ctx.emit(events.StepFailedEvent(step.name, told, undo))
            raise
        outcome: Literal["done", "skipped"] = "skipped" if evidence is None else "done"
        shown = evidence if evidence is not None else _detail(found)
        self.journal.finish(attempt, outcome, found=_word(found), evidence=shown)
        self.ctx.emit(events.StepFinished(step.name, round(time.monotonic() - started, 3), shown, undo))

    def _apply(self, step: Step, found: Found) -> Evidence | None:
        match found:
            case Done():
                return None
            case Conflict(why, hint):
                raise ConflictError(why, hint=hint or "migrator status", step=step.name)
            case _:
                step.apply(self.ctx, found)
                return step.verify(self.ctx)

    def _undo(self, step: Step, found: Found) -> Evidence | None:
        match found:
            case Conflict(why):
                self.ctx.note(f"left alone: {why}")
                return None
            case Done() | Partial():
                step.undo(self.ctx)
                after = step.probe(self.ctx)
                if isinstance(after, Partial):
                    raise VerifyFailed(
                        f"{step.name} was undone and something is left: {after.what}",
                        hint="run the same command again",
                        step=step.name,
                    )
                return {"found": _word(after)}
            case _:
                return None


def _word(found: Found) -> str:
    return type(found).__name__.lower()


def _detail(found: Found) -> Evidence:
    match found:
        case Done(evidence):
            return evidence
        case Partial(what):
            return {"what": what}
        case Conflict(why):
            return {"why": why}
        case _:
            return {}


def _told(error: BaseException) -> Evidence:
    if isinstance(error, MigratorError):
        return error.as_dict()
    if isinstance(error, KeyboardInterrupt):
        return {"error": "Interrupted", "message": "interrupted"}
    return {"error": type(error).__name__, "message": str(error)}
