"""The workflow: six states, five transitions, their steps in order. This is the one page.

    planned → schema_copied → replicating → seq_synced → cutover → cleaned

A step's name is its file under ``migrator/steps``, its key in the journal and the word that
``migrator explain`` takes. To add a step: write the file, put its name here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from transitions import Machine, MachineError

from migrator.errors import OutOfOrder, UnknownName


class State(StrEnum):
    """Where a migration stands; each name is a fact that is true of both servers."""

    PLANNED = "planned"
    SCHEMA_COPIED = "schema_copied"
    REPLICATING = "replicating"
    SEQ_SYNCED = "seq_synced"
    CUTOVER = "cutover"
    CLEANED = "cleaned"


STATES: tuple[State, ...] = tuple(State)

# What is true in each; ``migrator explain`` and the manuals take their words from here.
STATE_MANUALS: dict[State, str] = {
    State.PLANNED: (
        "Both servers are pinned by system identifier and timeline. Preflight has no blocking "
        "finding; names and the list of tables are fixed."
    ),
    State.SCHEMA_COPIED: (
        "Every schema object of the source that must exist before the data exists on the "
        "destination, owners and grants included."
    ),
    State.REPLICATING: (
        "All rows are copied, all indexes and constraints are built, statistics are gathered. "
        "The stream from source to destination is live and caught up."
    ),
    State.SEQ_SYNCED: ("Every sequence of the destination is at or past the source's, plus the shift."),
    State.CUTOVER: (
        "The source refuses writes. The destination holds every committed row and takes the "
        "writes; routes point at it."
    ),
    State.CLEANED: (
        "Nothing of migrator's is left on either server, except the read-only mark of the source. "
        "There is no way on from here, and none back."
    ),
}


@dataclass(frozen=True)
class Transition:
    """One way from a state to the next, as an ordered list of steps.

    ``no_return_at`` names the step whose commit is the point of no return: before it the
    transition can be undone, after it a re-run only goes forward.
    """

    name: str
    source: State
    target: State
    steps: tuple[str, ...]
    no_return_at: str | None = None


TRANSITIONS: tuple[Transition, ...] = (
    Transition(
        "copy_schema",
        State.PLANNED,
        State.SCHEMA_COPIED,
        ("pin_servers", "restore_pre_data", "copy_database_settings"),
    ),
    Transition(
        "replicate",
        State.SCHEMA_COPIED,
        State.REPLICATING,
        (
            "create_publication",
            "copy_tables",
            "build_indexes",
            "create_subscription",
            "add_foreign_keys",
            "restore_post_data",
            "copy_unstreamed",
            "refresh_materialized_views",
            "analyze_tables",
            "fence_destination",
            "record_schema",
            "await_catch_up",
        ),
    ),
    Transition(
        "sync_sequences",
        State.REPLICATING,
        State.SEQ_SYNCED,
        ("sync_sequences",),
    ),
    Transition(
        "cut_over",
        State.SEQ_SYNCED,
        State.CUTOVER,
        (
            "prepare_fence",
            "prepare_return",
            "pass_gates",
            "hand_over",
            "open_destination",
            "start_return",
            "switch_route",
            "end_source_sessions",
            "prove",
        ),
        no_return_at="hand_over",
    ),
    Transition(
        "clean_up",
        State.CUTOVER,
        State.CLEANED,
        (
            "drop_subscription",
            "drop_slot",
            "drop_publication",
            "give_back_identities",
            "drop_fence",
            "drop_registry",
            "scan_leftovers",
        ),
        no_return_at="drop_subscription",
    ),
)

# What ``migrator refresh`` runs; the state stays. It is no transition of the machine: a running migration
# takes in what the source has got since, by a step of its own and those whose work has grown by it.
REFRESH = Transition(
    "refresh",
    State.REPLICATING,
    State.REPLICATING,
    (
        "take_in_tables",
        "build_indexes",
        "add_foreign_keys",
        "restore_post_data",
        "copy_unstreamed",
        "refresh_materialized_views",
        "analyze_tables",
        "fence_destination",
        "record_schema",
        "await_catch_up",
    ),
)
STREAMING = (State.REPLICATING, State.SEQ_SYNCED)

# What ``rollback-to`` runs first from ``cutover``: the same switchover with the roles swapped, after which
# the steps of ``cut_over`` that can be undone are.
SWITCH_BACK = Transition(
    "switch_back",
    State.CUTOVER,
    State.CUTOVER,
    (
        "prepare_back",
        "hand_back",
        "open_source",
        "restart_stream",
        "switch_route_back",
        "end_destination_sessions",
        "prove_back",
    ),
    no_return_at="hand_back",
)

# What ``migrator rehearse`` runs; the state stays.
REHEARSAL = Transition(
    "rehearse",
    State.REPLICATING,
    State.REPLICATING,
    ("prepare_fence", "prepare_return", "pass_gates", "rehearse"),
)

ALL_STEPS: tuple[str, ...] = tuple(step for t in TRANSITIONS for step in t.steps)
EVERY_STEP: tuple[str, ...] = tuple(
    dict.fromkeys((*ALL_STEPS, *REFRESH.steps, *REHEARSAL.steps, *SWITCH_BACK.steps))
)


def parse_state(value: str) -> State:
    """Return the state of that name.

    Raises UnknownName for anything else; ``transitions`` itself would silently add it.
    """
    try:
        return State(value)
    except ValueError:
        raise UnknownName(
            f"there is no state {value!r}; the states are {', '.join(STATES)}",
            hint="migrator graph",
        ) from None


class Lifecycle:
    """Guard the order of transitions; holds no data and has no side effects.

    The ``transitions`` machine decides what is allowed and draws the diagram; the journal's
    compare-and-swap is what moves a migration.
    """

    def __init__(self, state: State) -> None:
        self.state: str = state.value
        self.machine = Machine(
            model=self,
            states=[s.value for s in STATES],
            transitions=[
                {"trigger": t.name, "source": t.source.value, "dest": t.target.value} for t in TRANSITIONS
            ],
            initial=state.value,
            auto_transitions=False,
        )

    def next(self) -> Transition | None:
        """Return the transition that leaves the current state, or None when it is terminal."""
        return next((t for t in TRANSITIONS if t.source == self.state), None)

    def require(self, name: str) -> Transition:
        """Return the transition ``name`` if the current state allows it.

        Raises UnknownName when there is none of that name, OutOfOrder when it is not its turn.
        """
        found = next((t for t in TRANSITIONS if t.name == name), None)
        if found is None:
            names = ", ".join(t.name for t in TRANSITIONS)
            raise UnknownName(f"there is no transition {name!r}; they are {names}")
        try:
            self.machine.events[name].trigger(self)
        except MachineError:
            raise self._out_of_order(f"and {name} needs state {found.source}") from None
        return found

    def path_to(self, target: State) -> tuple[Transition, ...]:
        """Return the transitions from the current state forward to ``target``, in order.

        Raises OutOfOrder when ``target`` is not ahead.
        """
        here = STATES.index(State(self.state))
        there = STATES.index(target)
        if there <= here:
            raise self._out_of_order(f"and {target} is not ahead" if there < here else "already")
        return TRANSITIONS[here:there]

    def path_back_to(self, target: State) -> tuple[Transition, ...]:
        """Return the transitions to undo, last first, to be back in ``target``.

        Goes back from the cutover whatever the state is, because only the servers know what is half
        done (a failed ``advance``, or a store that was lost): undoing what is absent is nothing.
        Raises OutOfOrder when ``target`` is ahead, from the terminal state, and at the cutover to itself.
        """
        here = STATES.index(State(self.state))
        there = STATES.index(target)
        if there > here:
            raise self._out_of_order(f"and {target} is ahead, not behind")
        if State(self.state) is State.CLEANED:
            raise self._out_of_order("and there is no way back from it")
        last = next(i for i, t in enumerate(TRANSITIONS) if t.target is State.CUTOVER)
        if there > last:
            raise self._out_of_order("already")
        return tuple(reversed(TRANSITIONS[there : last + 1]))

    def _out_of_order(self, why: str) -> OutOfOrder:
        following = self.next()
        allowed = [following.name] if following else []
        return OutOfOrder(
            f"refused: the migration is {self.state} {why}; "
            + (f"what is allowed now is {following.name}" if following else "nothing is left to do"),
            hint="migrator advance" if following else "migrator status",
            state=self.state,
            allowed=allowed,
        )


def diagram(current: State | None = None) -> str:
    """Return the states and transitions as a mermaid state diagram, the current one marked."""
    lines = ["stateDiagram-v2", "    direction LR", f"    [*] --> {TRANSITIONS[0].source}: plan"]
    lines += [f"    {t.source} --> {t.target}: {t.name}" for t in TRANSITIONS]
    lines += [f"    {t.target} --> {t.source}: rollback-to" for t in TRANSITIONS[:4]]
    lines.append(f"    {State.CLEANED} --> [*]")
    if current is not None:
        lines += [
            "    classDef current fill:#2f6f4f,color:#fff,stroke-width:2px",
            f"    class {current} current",
        ]
    return "\n".join(lines) + "\n"
