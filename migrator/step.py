"""The contract of a step. A step is one file in ``migrator/steps`` and its name on the workflow page.

The servers are the truth, the journal is the history: a step finds out by looking at the servers
what is there, and converges from whatever it finds.

Laws, tested for every step: probe and verify never write; applying twice is applying once; after
apply, done; after undo, absent; killed after any statement, a re-run converges; an object without
our ownership mark is a conflict and is never touched.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from migrator.errors import NotReversible, VerifyFailed
from migrator.workflow import EVERY_STEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext, WriteContext

Evidence = dict[str, Any]


@dataclass(frozen=True)
class Absent:
    """Nothing of this step is there."""


@dataclass(frozen=True)
class Partial:
    """Some of it is there; ``what`` says which part, for people."""

    what: str


@dataclass(frozen=True)
class Done:
    """All of it is there; ``evidence`` is what proves it, JSON-ready."""

    evidence: Evidence = field(default_factory=dict)


@dataclass(frozen=True)
class Conflict:
    """Something in the way is not ours; ``why`` names it and ``hint`` says what to do."""

    why: str
    hint: str = ""


@dataclass(frozen=True)
class Statement:
    """SQL that a step runs, and on which side."""

    side: str
    text: str


Found = Absent | Partial | Done | Conflict


class Step:
    """One idempotent piece of a transition, without state of its own.

    The docstring of a step is its manual (``migrator explain NAME``), with the headings
    Changes, Recognised by, Locks and cost, If it fails, Undo.
    """

    gate: ClassVar[bool] = False
    """A gate waits or refuses and leaves nothing behind: there is nothing to undo."""

    @property
    def name(self) -> str:
        """Return the step's one name: that of its file."""
        return type(self).__module__.rsplit(".", 1)[-1]

    def probe(self, ctx: ReadContext) -> Found:
        """Look at the servers, read-only, and say how much of the step is there."""
        raise NotImplementedError

    def apply(self, ctx: WriteContext, found: Absent | Partial) -> None:
        """Converge to done. May commit several times; is never called on done or conflict."""
        raise NotImplementedError

    def statements(self, ctx: ReadContext) -> Iterator[Statement]:
        """Tell the SQL that ``apply`` would run from what is there now, to be read before it is agreed to.

        The statements that change what others see; not those that only look, wait, bound or record.
        """
        yield from ()

    def verify(self, ctx: ReadContext) -> Evidence:
        """Prove that the step is done, read-only. Raises VerifyFailed when it is not."""
        found = self.probe(ctx)
        if not isinstance(found, Done):
            raise VerifyFailed(
                f"{self.name} was applied and its proof does not hold: {found}",
                hint="migrator advance",
                step=self.name,
            )
        return found.evidence

    def undo(self, ctx: WriteContext) -> None:
        """Go back to absent. Steps that cannot be undone say so by not defining this."""
        raise NotReversible(f"{self.name} cannot be undone", step=self.name)


@cache
def load_step(name: str) -> Step:
    """Return the step defined in ``migrator/steps/{name}.py``.

    The class is the file's name in CamelCase; a missing file or class is a programming error and
    fails with the line to add.
    """
    module = importlib.import_module(f"migrator.steps.{name}")
    wanted = "".join(part.capitalize() for part in name.split("_"))
    step_class = getattr(module, wanted, None)
    if not (inspect.isclass(step_class) and issubclass(step_class, Step)):
        raise ImportError(f"migrator/steps/{name}.py must define class {wanted}(Step)")
    step: Step = step_class()
    return step


def load_all() -> dict[str, Step]:
    """Return every step by name, in workflow order."""
    return {name: load_step(name) for name in EVERY_STEP}
