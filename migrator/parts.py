"""The parts of the workflow that have a command of their own, by the names of the scripts of old.

A part is a run of a transition's steps: the same steps, guard and journal as ``advance``, stopped in
between. The last part of a transition moves the state. ``advance`` completes what a part has begun.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from migrator.workflow import TRANSITIONS, Transition


@dataclass(frozen=True)
class Part:
    """The steps of a transition from ``first`` to ``last``.

    ``again`` says that the command may also be given in the state that the transition leads to.
    """

    name: str
    transition: str
    first: str
    last: str
    again: bool = False

    @property
    def whole(self) -> Transition:
        """Return the transition that this is a part of."""
        return next(t for t in TRANSITIONS if t.name == self.transition)

    @property
    def before(self) -> tuple[str, ...]:
        """Return the steps of the transition that must be done before."""
        steps = self.whole.steps
        return steps[: steps.index(self.first)]

    @property
    def steps(self) -> Transition:
        """Return the transition with the steps of this part only."""
        steps = self.whole.steps
        return replace(self.whole, steps=steps[steps.index(self.first) : steps.index(self.last) + 1])

    @property
    def stops_short(self) -> bool:
        """Return whether the point of no return is in this part and the rest of the transition is not."""
        return self.whole.no_return_at in self.steps.steps and not self.is_last

    @property
    def is_first(self) -> bool:
        """Return whether a migration begins with this part."""
        return self.first == TRANSITIONS[0].steps[0]

    @property
    def is_last(self) -> bool:
        """Return whether the transition is complete with this part."""
        return self.last == self.whole.steps[-1]


PARTS: dict[str, Part] = {
    part.name: part
    for part in (
        Part("copy-schema", "copy_schema", "pin_servers", "copy_database_settings"),
        Part("create-pub", "replicate", "create_publication", "create_publication"),
        Part("create-sub", "replicate", "copy_tables", "await_catch_up"),
        Part("copy-seq", "sync_sequences", "sync_sequences", "sync_sequences", again=True),
        Part("disable-src", "cut_over", "prepare_fence", "start_return"),
        Part("re-routing", "cut_over", "switch_route", "prove"),
        Part("drop-sub", "clean_up", "drop_subscription", "drop_slot"),
        Part("drop-pub", "clean_up", "drop_publication", "scan_leftovers"),
    )
}


def part_of(step: str) -> Part:
    """Return the part that a step belongs to."""
    return next(part for part in PARTS.values() if step in part.steps.steps)
