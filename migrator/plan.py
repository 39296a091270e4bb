"""What a command would do, as a value: from the same guard and the same probes, before anything runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from migrator.check import blocking
from migrator.errors import ChecksBlocked, OutOfOrder, PastNoReturn, UnknownName
from migrator.observe import server_report
from migrator.parts import PARTS, Part, part_of
from migrator.pg.catalog import wanted_tables
from migrator.pg.catalog_sequences import sequences
from migrator.pg.redact import redact
from migrator.report import PlanReport, StatementReport, StepReport, TransitionReport
from migrator.step import Conflict, Done, Partial, load_step
from migrator.switchover.records import handed_over
from migrator.workflow import STREAMING, TRANSITIONS, Lifecycle, State, Transition

if TYPE_CHECKING:
    from migrator.context import ReadContext
    from migrator.report import FindingReport

# Changes when the steps do: a migration is finished with the steps that it was planned with.
FINGERPRINT = hashlib.sha256(
    "\n".join(f"{t.name}: {' '.join(t.steps)}" for t in TRANSITIONS).encode()
).hexdigest()[:16]


def guarded(before: str) -> str:
    """Return the name of what checks may guard. Raises UnknownName for another one, but not for none."""
    names = ("plan", *(t.name for t in TRANSITIONS))
    if before and before not in names:
        raise UnknownName(f"there is no transition {before!r}; they are {', '.join(names)}")
    return before


def path(state: State, to: State | None) -> tuple[Transition, ...]:
    """Return the transitions that ``advance`` runs: the next one, or all up to ``to``."""
    lifecycle = Lifecycle(state)
    if to is not None:
        return lifecycle.path_to(to)
    following = lifecycle.next()
    return (lifecycle.require(following.name),) if following else lifecycle.path_to(state)


def beside(state: State, steps: Transition) -> Transition:
    """Return what ``refresh`` or ``rehearse`` runs beside the way of the states.

    Raises OutOfOrder in a state without a stream that is to go on.
    """
    if state not in STREAMING:
        following = Lifecycle(state).next()
        allowed = [following.name] if following else []
        raise OutOfOrder(
            f"refused: the migration is {state}, and {steps.name} needs state {' or '.join(STREAMING)}; "
            f"what is allowed now is {' '.join(allowed) or 'nothing'}",
            hint="migrator advance" if following else "migrator status",
            state=state.value,
            allowed=allowed,
        )
    return replace(steps, source=state, target=state)


def part_path(state: State, part: Part) -> Transition:
    """Return the steps of a part, as a transition that leads where the state then is.

    Raises OutOfOrder in a state that does not allow it.
    """
    whole, following = part.whole, Lifecycle(state).next()
    if part.again and state is whole.target:
        return replace(part.steps, source=state, target=state)
    if following is not whole:
        allowed = [p.name for p in PARTS.values() if following and p.whole is following]
        raise OutOfOrder(
            f"refused: the migration is {state}, and {part.name} needs state {whole.source}; what is allowed "
            f"now is {' or '.join(allowed) or 'nothing'}",
            hint="migrator advance" if following else "migrator status",
            state=state.value,
            allowed=allowed,
        )
    return part.steps if part.is_last else replace(part.steps, target=state)


def refuse_untimely(ctx: ReadContext, state: State, part: Part) -> None:
    """Raise OutOfOrder when a step is not done that must be before this part.

    Raises PastNoReturn when it may be repeated before the cutover only, and that is committed.
    """
    if part.again:
        refuse_past_no_return(ctx, part.whole)
    for name in part.before if state is part.whole.source else ():
        if not load_step(name).gate and not isinstance(load_step(name).probe(ctx), Done):
            needed = part_of(name).name
            raise OutOfOrder(
                f"refused: {part.name} comes after {needed}, and {name} is not done",
                hint=f"migrator {needed}",
                state=state.value,
                allowed=[needed],
            )


def statements(ctx: ReadContext, steps: Transition) -> tuple[StatementReport, ...]:
    """Return the SQL of those steps that are not done."""
    return tuple(
        StatementReport(name, s.side, redact(s.text))
        for name in steps.steps
        if not isinstance(load_step(name).probe(ctx), Done | Conflict)
        for s in load_step(name).statements(ctx)
    )


def path_back(state: State, to: State) -> tuple[Transition, ...]:
    """Return the transitions that ``rollback-to`` undoes, last first.

    Raises OutOfOrder when ``to`` is ahead.
    """
    return Lifecycle(state).path_back_to(to)


def is_given_away(ctx: ReadContext, state: State) -> bool:
    """Return whether the writes are to be taken back first: the cutover is committed, or its state is on."""
    return state is State.CUTOVER or handed_over(ctx) is not None


def is_past_checks(ctx: ReadContext, transition: Transition) -> bool:
    """Return whether checks cannot stop the transition any more, because only forward is safe."""
    return transition.no_return_at is not None and handed_over(ctx) is not None


def refuse_past_no_return(ctx: ReadContext, steps: Transition) -> None:
    """Raise PastNoReturn when the cutover is committed in the databases, which ``steps`` come before."""
    if handed_over(ctx) is not None:
        raise PastNoReturn(
            f"refused: the cutover is committed in the databases, and {steps.name} comes before it",
            hint="migrator advance, or migrator rollback-to replicating",
        )


def refuse_half_back(ctx: ReadContext, state: State) -> None:
    """Raise OutOfOrder when the writes are given back and ``rollback-to`` has not completed that."""
    if state is State.CUTOVER and handed_over(ctx.mirrored()) is not None:
        raise OutOfOrder(
            "refused: the destination has given the writes back, and that is not completed",
            hint="migrator rollback-to replicating",
            state=state.value,
            allowed=[],
        )


def refuse_blocked(findings: list[FindingReport]) -> None:
    """Raise ChecksBlocked, with all findings, when one of them blocks."""
    found = blocking(findings)
    if found:
        raise ChecksBlocked(
            f"{len(found)} finding{'s' if len(found) > 1 else ''} must be fixed first",
            hint="fix what is named, then run the same command again",
            findings=findings,
        )


def looked(ctx: ReadContext, name: str) -> StepReport:
    """Probe a step, and say what was found."""
    match load_step(name).probe(ctx):
        case Done():
            return StepReport(name, "done")
        case Partial(what):
            return StepReport(name, "partial", what)
        case Conflict(why):
            return StepReport(name, "conflict", why)
        case _:
            return StepReport(name, "absent")


def plan_report(
    ctx: ReadContext,
    state: State | None,
    findings: list[FindingReport],
    transitions: tuple[TransitionReport, ...],
    *,
    written: bool = False,
    sql: tuple[StatementReport, ...] = (),
) -> PlanReport:
    """Describe both servers, what is to be carried, and the transitions in question."""
    tables = wanted_tables(ctx.source, ctx.config.tables, sizes=True)
    return PlanReport(
        migration=ctx.names.migration,
        state=state.value if state else "",
        source=server_report(ctx, "source"),
        destination=server_report(ctx, "destination"),
        tables=len(tables),
        bytes=sum(t.bytes for t in tables),
        sequences=len(sequences(ctx.source)),
        findings=tuple(findings),
        transitions=transitions,
        written=written,
        sql=sql,
    )


def forward(ctx: ReadContext, transitions: tuple[Transition, ...]) -> tuple[TransitionReport, ...]:
    """Describe the transitions ahead; the steps of the first are looked at."""
    first = transitions[0]
    return tuple(
        TransitionReport(
            t.name,
            t.source,
            t.target,
            "next" if t is first else "later",
            tuple(looked(ctx, name) if t is first else StepReport(name) for name in t.steps),
        )
        for t in transitions
    )


def backward(ctx: ReadContext, transitions: tuple[Transition, ...]) -> tuple[TransitionReport, ...]:
    """Describe the transitions to undo, last step first; every step is looked at."""
    return tuple(
        TransitionReport(
            t.name,
            t.target,
            t.source,
            "undo",
            tuple(looked(ctx, name) for name in reversed(t.steps) if not load_step(name).gate),
        )
        for t in transitions
    )
