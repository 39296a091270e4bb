"""The laws that every step obeys (``migrator/step.py``), each proven on two real servers."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from migrator.errors import Conflict as ConflictError
from migrator.errors import ConnectionLost, NotReversible, StatementFailed
from migrator.step import Absent, Conflict, Done, Partial, Step, load_all, load_step
from migrator.workflow import ALL_STEPS, SWITCH_BACK
from tests.fixtures.faults import Killed, faults_in, points
from tests.fixtures.schema import changes
from tests.fixtures.servers import connect
from tests.fixtures.stage import GATES, IRREVERSIBLE, REVERSIBLE, Stage, Walk

if TYPE_CHECKING:
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession

READ_ONLY_TRANSACTION = "25006"
# Gates of what runs beside the way of the states.
BESIDE = {"prepare_back", "prove_back", "rehearse"}
# These may find nothing to do: what they wait or look for is so already.
READY_AT_ONCE = {
    "give_back_identities",
    "build_indexes",
    "add_foreign_keys",
    "analyze_tables",
    "open_destination",
    "switch_route",
    "pass_gates",
    "scan_leftovers",
}
# Nothing stands in the destination or source by a name of these steps' choice: what they restore has
# the source's names, inside tables that are ours.
NAMELESS = {
    "give_back_identities",
    "copy_database_settings",
    "build_indexes",
    "add_foreign_keys",
    "restore_post_data",
    "refresh_materialized_views",
    "analyze_tables",
    "record_schema",
    "sync_sequences",
    "hand_over",
    "open_destination",
    "start_return",
    "switch_route",
    "end_source_sessions",
}


# What undo leaves, harms nobody and is made anew by the next apply.
LEFT_BY_UNDO = {
    "build_indexes": "relation | shop.log |",  # that it is identified by an index, which is gone
    "restore_post_data": "index | shop.item_data |",  # the comment on an index
    "fence_destination": "function | {registry}.refuse_write()",
    "prepare_fence": "function | {registry}.refuse_write()",
}
# What only tells, and is not written where its moment was cut short.
TELLS = {"hand_over": "- destination: journal | pause |"}
# What one step has begun and another completes.
COMPLETED_BY = {
    "copy_tables": ("build_indexes", "add_foreign_keys", "analyze_tables"),
    "build_indexes": ("add_foreign_keys",),
}


@dataclass(frozen=True)
class Foreign:
    """Something in a step's way that is not ours: where, how it comes, how it goes."""

    step: str
    side: str
    what: str
    make: str
    remove: str


TRIGGER = """
    create function public.theirs() returns trigger language plpgsql as 'begin return new; end';
    create trigger {fence} before insert on shop.parent for each row execute function public.theirs()
"""
NO_TRIGGER = "drop trigger {fence} on shop.parent; drop function public.theirs()"
FOREIGN = (
    Foreign("pin_servers", "source", "schema", "create schema {name}", "drop schema {name}"),
    Foreign("pin_servers", "destination", "schema", "create schema {name}", "drop schema {name}"),
    Foreign("restore_pre_data", "destination", "table", "create table theirs ()", "drop table theirs"),
    Foreign("create_publication", "source", "publication", "create publication {name}",
            "drop publication {name}"),
    Foreign("copy_tables", "source", "slot",
            "select pg_create_logical_replication_slot({slot}, 'pgoutput')",
            "select pg_drop_replication_slot({slot})"),
    Foreign("copy_unstreamed", "destination", "large object", "select lo_create(4711)",
            "select lo_unlink(4711)"),
    Foreign("create_subscription", "destination", "subscription",
            "create subscription {name} connection 'host=/nowhere' publication p with (connect = false)",
            "alter subscription {name} set (slot_name = none); drop subscription {name}"),
    Foreign("fence_destination", "destination", "trigger", TRIGGER, NO_TRIGGER),
    Foreign("prepare_fence", "source", "trigger", TRIGGER, NO_TRIGGER),
    Foreign("drop_subscription", "destination", "subscription", "comment on subscription {name} is null",
            "comment on subscription {name} is {mark}"),
    Foreign("drop_slot", "source", "slot",
            "select pg_create_logical_replication_slot({slot}, 'pgoutput')",
            "select pg_drop_replication_slot({slot})"),
    Foreign("drop_slot", "destination", "slot",
            "update {name}.journal set event = 'theirs' where event = 'slot'",
            "update {name}.journal set event = 'slot' where event = 'theirs'"),
    Foreign("prepare_return", "destination", "publication", "create publication {name}",
            "drop publication {name}"),
    Foreign("prepare_return", "source", "subscription",
            "create subscription {name} connection 'host=/nowhere' publication p with (connect = false)",
            "alter subscription {name} set (slot_name = none); drop subscription {name}"),
    Foreign("drop_publication", "source", "publication", "comment on publication {name} is 'theirs'",
            "comment on publication {name} is {mark}"),
    Foreign("drop_fence", "source", "trigger",
            "drop trigger {fence} on shop.parent;" + TRIGGER, NO_TRIGGER),
    Foreign("drop_registry", "source", "schema", "comment on schema {name} is null",
            "comment on schema {name} is {mark}"),
    Foreign("drop_registry", "destination", "schema", "comment on schema {name} is 'migrator:theirs'",
            "comment on schema {name} is {mark}"),
)  # fmt: skip


@pytest.fixture(scope="module", params=ALL_STEPS)
def name(request: pytest.FixtureRequest) -> str:
    """Each step in turn: of the module's scope, so that all tests of a step run before the next one's."""
    return str(request.param)


def test_every_step_is_a_gate_or_reversible_or_says_that_it_is_not() -> None:
    assert {name for name, step in load_all().items() if step.gate} == GATES | BESIDE
    irreversible = {n for n, step in load_all().items() if type(step).undo is Step.undo}
    assert irreversible == IRREVERSIBLE | set(SWITCH_BACK.steps) - BESIDE


def test_every_step_that_makes_or_drops_something_by_name_has_its_conflict_tested() -> None:
    assert {f.step for f in FOREIGN} | NAMELESS | GATES == set(ALL_STEPS)
    assert not {f.step for f in FOREIGN} & (NAMELESS | GATES)


def test_probe_and_verify_never_write(walk: Walk, name: str) -> None:
    step = load_step(name)
    with walk.before(name) as stage:
        before = stage.holds(exact=True)
        with stage.looking() as ctx:
            found = step.probe(ctx)
            assert refused_writes(ctx.source)
            assert refused_writes(ctx.destination)
        assert not changes(before, stage.holds(exact=True))
        assert isinstance(found, Absent | Partial) or name in READY_AT_ONCE
        with stage.working() as ctx:
            stage.run(ctx, name)
        after = stage.holds(exact=True)
        with stage.looking() as ctx:
            step.verify(ctx)
            assert isinstance(step.probe(ctx), Done)
        assert not changes(after, stage.holds(exact=True))


def test_applying_twice_is_applying_once(walk: Walk, name: str) -> None:
    with walk.before(name) as stage:
        with stage.working() as ctx:
            stage.run(ctx, name)
        once = stage.holds(exact=True)
        with stage.working() as ctx:
            stage.run(ctx, name)
        assert not changes(once, stage.holds(exact=True))
        outcomes = [a.outcome for a in stage.app.journal().attempts(stage.record.id) if a.step == name]
        assert outcomes[-1] == "skipped"


def test_after_undo_a_step_is_absent_or_it_says_why_not(walk: Walk, name: str) -> None:
    step = load_step(name)
    with walk.before(name) as stage:
        before = stage.holds()
        with stage.working() as ctx:
            stage.run(ctx, name)
        after = stage.holds(exact=True)
        with stage.working() as ctx:
            if name in IRREVERSIBLE:
                with pytest.raises(NotReversible) as refused:
                    step.undo(ctx)
                assert refused.value.exit_code == 3
                assert not changes(after, stage.holds(exact=True))
            elif name in GATES:
                step.undo(ctx)
                assert not changes(after, stage.holds(exact=True))
            else:
                stage.undo(ctx, name)
                assert isinstance(step.probe(ctx), Absent)
                assert not without_harmless(name, changes(before, stage.holds()), stage)
                stage.undo(ctx, name)
                assert isinstance(step.probe(ctx), Absent)


@pytest.mark.parametrize("foreign", FOREIGN, ids=lambda f: f"{f.step}-{f.side}-{f.what}")
def test_an_object_that_is_not_ours_is_a_conflict_and_never_touched(walk: Walk, foreign: Foreign) -> None:
    step = load_step(foreign.step)
    with walk.before(foreign.step) as stage:
        with stage.looking() as ctx:
            names = ctx.names
        execute(stage, foreign.side, foreign.make, names)
        before = stage.holds(exact=True)
        with stage.looking() as ctx:
            found = step.probe(ctx)
        assert isinstance(found, Conflict), found
        assert found.why
        with stage.working() as ctx, pytest.raises(ConflictError) as raised:
            stage.run(ctx, foreign.step)
        assert raised.value.exit_code == 5
        assert raised.value.hint
        if foreign.step in REVERSIBLE:
            with stage.working() as ctx:
                stage.undo(ctx, foreign.step)
        assert not changes(before, stage.holds(exact=True))
        execute(stage, foreign.side, foreign.remove, names)


def test_a_step_interrupted_anywhere_converges(
    walk: Walk, name: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    every = bool(pytestconfig.getoption("--all-faults"))
    with walk.before(name) as stage, faults_in(load_step(name), monkeypatch) as faults:
        with stage.working() as ctx:
            for each in (name, *COMPLETED_BY.get(name, ())):
                stage.run(ctx, each)
            undisturbed = stage.holds()
            stage.undo(ctx, name)
        for number in points(faults.count, every=every):
            for kill in (True, False) if every else (number % 2 == 0,):
                faults.expect(number, kill=kill)
                with suppress(Killed, ConnectionLost), stage.working() as ctx:
                    stage.run(ctx, name)
                assert faults.struck or number > 1
                with stage.working() as ctx:
                    for each in (name, *COMPLETED_BY.get(name, ())):
                        stage.run(ctx, each)
                    left = [c for c in changes(undisturbed, stage.holds()) if not told(name, c)]
                    assert not left, f"after point {number}, kill: {kill}"
                    stage.undo(ctx, name)


def told(name: str, change: str) -> bool:
    return name in TELLS and change.startswith(TELLS[name])


def refused_writes(session: ReadSession) -> bool:
    """Return whether the server itself refuses to write through a session."""
    with pytest.raises(StatementFailed) as refused:
        session.execute("create table public.written ()")
    return refused.value.sqlstate == READ_ONLY_TRANSACTION


def execute(stage: Stage, side: str, text: str, names: Names) -> None:
    with connect(stage.urls[side]) as connection:
        connection.execute(
            sql.SQL(text).format(
                name=sql.Identifier(names.schema),
                fence=sql.Identifier(names.fence),
                slot=names.slot,
                mark=names.mark,
            )
        )


def without_harmless(name: str, found: list[str], stage: Stage) -> list[str]:
    """Leave out what the undo of a step may leave behind."""
    harmless = LEFT_BY_UNDO.get(name, "nothing").format(registry=stage.registry)
    return [line for line in found if harmless not in line]
