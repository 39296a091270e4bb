"""The journal, on both kinds of store."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from migrator.errors import MigrationExists, StaleState, UnknownMigration
from migrator.report import FindingReport
from migrator.store.journal import Journal, Pin
from migrator.workflow import State
from tests.test_store_fixtures import DESTINATION, SOURCE, plan

pytest_plugins = ["tests.test_store_fixtures"]

FINDING = FindingReport("wal_level", "block", "source", "wal_level is replica", "ALTER SYSTEM …")


def test_a_planned_migration_is_read_back_as_it_was_written(journal: Journal) -> None:
    created = plan(journal, "pg-meta.meta", findings=[FINDING])
    assert created == journal.load("pg-meta.meta") == journal.find("pg-meta.meta")
    assert created.state is State.PLANNED
    assert (created.source, created.destination) == (SOURCE, DESTINATION)
    assert created.table_list == ("public.a", "public.b")
    assert created.created_at.tzinfo is UTC
    assert abs(datetime.now(UTC) - created.created_at) < timedelta(seconds=10)
    assert journal.findings(created.id) == [FINDING]


def test_a_second_migration_of_a_name_is_refused(journal: Journal) -> None:
    plan(journal)
    with pytest.raises(MigrationExists) as caught:
        plan(journal)
    assert caught.value.exit_code == 3
    assert journal.names() == ["m"]


def test_an_unknown_name_is_refused_with_the_known_ones(journal: Journal) -> None:
    plan(journal, "b")
    plan(journal, "a")
    with pytest.raises(UnknownMigration, match="it holds a, b") as caught:
        journal.load("c")
    assert caught.value.hint == "migrator plan"
    assert journal.find("c") is None


def test_a_plan_can_be_replaced_only_while_it_is_planned(journal: Journal) -> None:
    first = plan(journal, findings=[FINDING])
    other = Pin("1", 2, "other", 100023)
    again = {"key": "k", "source": other, "destination": DESTINATION, "workflow": "w"}
    journal.replan(first.id, **again, tables=["public.c"], findings=[])
    second = journal.load("m")
    assert (second.source, second.table_list) == (other, ("public.c",))
    assert second.updated_at > first.updated_at
    assert journal.findings(first.id) == []
    journal.move(first.id, State.PLANNED, State.SCHEMA_COPIED)
    with pytest.raises(StaleState, match="schema_copied"):
        journal.replan(first.id, **again, tables=[], findings=[FINDING])
    assert journal.findings(first.id) == []


def test_an_attempt_is_recorded_before_and_after_it_runs(journal: Journal, store_url: str) -> None:
    migration = plan(journal).id
    attempt = journal.begin(migration, "copy_schema", "pin_servers", "apply")
    with Journal.open(store_url) as other:
        seen = other.last_error(migration)
    assert seen is not None
    assert (seen.id, seen.outcome, seen.finished_at) == (attempt, "running", None)
    journal.finish(attempt, "done", "absent", {"at": datetime(2024, 1, 1), "n": Decimal("1.5")})
    assert journal.last_error(migration) is None
    done = journal.last_attempt(migration)
    assert done is not None
    assert done.evidence == {"at": "2024-01-01 00:00:00", "n": "1.5"}
    assert done.finished_at is not None
    assert done.finished_at >= done.started_at


def test_a_failed_attempt_stays_in_the_history(journal: Journal) -> None:
    migration = plan(journal).id
    failed = journal.begin(migration, "copy_schema", "pin_servers", "apply")
    journal.fail(failed, {"error": "TimedOut", "message": "gave up"})
    assert journal.last_error(migration) == journal.attempts(migration)[-1]
    again = journal.begin(migration, "copy_schema", "pin_servers", "undo")
    journal.finish(again, "skipped")
    assert journal.last_error(migration) is None
    assert [(a.id, a.kind, a.outcome) for a in journal.attempts(migration)] == [
        (failed, "apply", "failed"),
        (again, "undo", "skipped"),
    ]
    with pytest.raises(StaleState, match="not running"):
        journal.finish(failed, "done")


def test_a_move_is_made_once_and_recorded(journal: Journal) -> None:
    migration = plan(journal).id
    journal.move(migration, State.PLANNED, State.SCHEMA_COPIED)
    with pytest.raises(StaleState, match="is schema_copied, not planned") as caught:
        journal.move(migration, State.PLANNED, State.SCHEMA_COPIED)
    assert (caught.value.exit_code, caught.value.fields["state"]) == (3, "schema_copied")
    journal.move(migration, State.SCHEMA_COPIED, State.PLANNED)
    assert [(a.transition, a.step, a.kind, a.outcome) for a in journal.attempts(migration)] == [
        ("copy_schema", "schema_copied", "state", "done"),
        ("copy_schema", "planned", "state", "done"),
    ]
    with pytest.raises(UnknownMigration):
        journal.move(migration + 1, State.PLANNED, State.SCHEMA_COPIED)


def test_of_two_moves_at_once_exactly_one_wins(journal: Journal) -> None:
    migration = plan(journal).id
    barrier, results = threading.Barrier(2), []

    def move() -> None:
        barrier.wait()
        try:
            journal.move(migration, State.PLANNED, State.SCHEMA_COPIED)
            results.append("won")
        except StaleState:
            results.append("lost")

    threads = [threading.Thread(target=move) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["lost", "won"]
    assert len(journal.attempts(migration)) == 1


def test_tables_are_followed_from_planned_to_done(journal: Journal) -> None:
    migration = plan(journal).id
    journal.plan_tables(migration, [("public.a", 100), ("public.b", 200)])
    journal.table_started(migration, "public.a")
    journal.table_progress(migration, "public.a", rows=5, bytes=50)
    journal.table_failed(migration, "public.a", "connection lost")
    failed, planned = journal.tables(migration)
    assert (failed.state, failed.error, failed.rows) == ("failed", "connection lost", 5)
    assert (planned.state, planned.started_at) == ("planned", None)
    journal.table_started(migration, "public.a", chunk=1, estimated_bytes=40)
    journal.table_started(migration, "public.a", estimated_bytes=60)
    journal.table_finished(migration, "public.a", rows=2**40, bytes=2**41)
    journal.plan_tables(migration, [("public.a", 60)])
    first, second, _ = journal.tables(migration)
    assert (first.state, first.rows, first.bytes, first.error) == ("done", 2**40, 2**41, "")
    assert (second.chunk, second.state, second.estimated_bytes) == (1, "copying", 40)
    journal.reset_tables(migration, ["public.a"])
    first, _ = journal.tables(migration)
    assert (first.state, first.rows, first.estimated_bytes) == ("planned", 0, 60)


def test_what_is_held_back_is_soon_seen_by_others_and_lost_by_no_end(
    journal: Journal, store_url: str
) -> None:
    migration = plan(journal).id

    def seen() -> list[tuple[str, str, int]]:
        with Journal.open(store_url) as other:
            return [(t.table_name, t.state, t.rows) for t in other.tables(migration)]

    with Journal.open(store_url).hold() as writer:
        writer.table_started(migration, "public.a")
        writer.table_progress(migration, "public.a", rows=1, bytes=10)
        deadline = time.monotonic() + 10
        while not seen() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert seen() == [("public.a", "copying", 1)]
        writer.table_finished(migration, "public.a", rows=2, bytes=20)
        writer.table_started(migration, "public.b")
        (first, second) = writer.tables(migration)
        assert first.started_at
        assert first.finished_at
        assert not second.finished_at
        writer.table_finished(migration, "public.b", rows=3, bytes=30)
    assert seen() == [("public.a", "done", 2), ("public.b", "done", 3)]


def test_ten_thousand_tables_are_planned_and_read_quickly(journal: Journal) -> None:
    migration = plan(journal).id
    tables = [(f"public.table_{number}", number) for number in range(10_000)]
    started = time.monotonic()
    journal.plan_tables(migration, tables)
    assert len(journal.tables(migration)) == 10_000
    journal.reset_tables(migration, [name for name, _ in tables])
    assert time.monotonic() - started < 10


def test_samples_come_newest_last_and_limited(journal: Journal) -> None:
    migration = plan(journal).id
    for lag in range(5):
        journal.sample(migration, "lag", {"bytes": lag})
    journal.sample(migration, "copy", {"rows": 1})
    samples = journal.samples(migration, "lag", limit=3)
    assert [sample.values["bytes"] for sample in samples] == [2, 3, 4]


def test_new_findings_replace_the_old_ones(journal: Journal) -> None:
    migration = plan(journal, findings=[FINDING, FINDING]).id
    journal.record_findings(migration, [FINDING])
    assert journal.findings(migration) == [FINDING]


def test_a_process_killed_while_it_writes_leaves_a_usable_store(store_url: str) -> None:
    with Journal.open(store_url, create=True) as journal:
        migration = plan(journal).id
    program = (
        "import sys; from migrator.store.journal import Journal\n"
        "journal = Journal.open(sys.argv[1])\n"
        "while True:\n"
        f"    journal.begin({migration}, 'replicate', 'copy_tables', 'apply')\n"
        "    print('wrote', flush=True)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, store_url], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        written = [writer.stdout.readline() for _ in range(20)]
        writer.send_signal(signal.SIGKILL)
        written += writer.stdout.readlines()
    with Journal.open(store_url) as journal:
        kept = journal.attempts(migration)
        assert len(kept) >= written.count("wrote\n") >= 20
        journal.finish(journal.begin(migration, "replicate", "copy_tables", "apply"), "done")
        journal.move(migration, State.PLANNED, State.SCHEMA_COPIED)
