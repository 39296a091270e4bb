"""What the source bears is read, told, recorded, and bounded."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

import pytest

from migrator.config import Config, CopySection, MigrationSection, ServerSection, Size
from migrator.config_convert import SIZE_UNITS
from migrator.context import ReadContext
from migrator.copy.protection import guard
from migrator.errors import SourceProtected
from migrator.events import CopyStarted, Event, SourceSampled, StepProgress, TableProgressed
from migrator.recording import SAMPLE_EVERY, Recorder
from migrator.store.journal import Journal, Pin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MB = SIZE_UNITS["MB"]
SAMPLE = SourceSampled(300 * MB, "extended", 700 * MB, 20 * MB, 12.5)


def context(limit: int) -> ReadContext:
    """Return a context without servers, which ``guard`` does not ask."""
    config = Config(
        migration=MigrationSection(name="shop"),
        source=ServerSection(url="postgresql://one/shop"),
        destination=ServerSection(url="postgresql://two/shop"),
        copy=CopySection(max_retained_wal=Size(limit)),
    )
    nothing = cast("Any", None)
    return ReadContext(nothing, nothing, nothing, nothing, nothing, config, router=nothing, fence=nothing)


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    store = Journal.open(f"sqlite:///{tmp_path / 'state.db'}", create=True)
    yield store
    store.close()


@pytest.fixture
def migration(journal: Journal) -> int:
    pin = Pin("7", 1, "shop", 170000)
    record = journal.create(
        "shop", key="k", source=pin, destination=pin, workflow="w", tables=[], findings=[]
    )
    return record.id


# --- the bound -------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [0, 300 * MB, 301 * MB])
def test_within_the_bound_nothing_happens_and_nought_is_no_bound(limit: int) -> None:
    guard(context(limit), SAMPLE)


def test_past_the_bound_the_copy_is_given_up_and_the_error_says_all_of_it() -> None:
    with pytest.raises(SourceProtected) as raised:
        guard(context(256 * MB), SAMPLE)
    error = raised.value
    assert error.exit_code == 5
    assert "keeps 300 MB of WAL" in error.message
    assert "copy.max_retained_wal is 256 MB" in error.message
    assert "the slot is given up" in error.message
    assert "the copy begins again" in error.message
    assert error.hint.endswith("then migrator advance")
    assert (error.fields["retained_bytes"], error.fields["max_retained_wal"]) == (300 * MB, 256 * MB)


@pytest.mark.parametrize(
    ("size", "written"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 kB"), (MB, "1 MB"), (5000 * 1024**4, "5000 TB")],
)
def test_a_size_is_written_with_the_unit_that_it_fills(size: int, written: str) -> None:
    assert Size(size).text == written


# --- samples ---------------------------------------------------------------------------------


def test_samples_are_taken_from_events_and_seldom(journal: Journal, migration: int) -> None:
    clock, told = Clock(), list[Event]()
    record = Recorder(journal, migration, told.append, clock)
    events: list[Event] = [CopyStarted((("public.a", 100), ("public.b", 50)))]
    for number in range(1, 41):
        events += [
            StepProgress("copy_tables", number * 10, 1000, "bytes", "public.a"),
            TableProgressed("public.a", "copying", number, number * 10, 100),
            SourceSampled(number * MB, "reserved", None, number, 0.5),
        ]
    for event in events:
        record(event)
        clock.at += SAMPLE_EVERY / 20
    assert told == events
    progress = journal.samples(migration, "progress")
    source = journal.samples(migration, "source")
    assert 5 <= len(progress) <= 7
    assert 5 <= len(source) <= 7
    assert progress[0].values == {"bytes": 10, "rows": 0, "retained_bytes": None, "lag_bytes": None}
    last = progress[-1].values
    assert last["bytes"] in (last["rows"] * 10, last["rows"] * 10 + 10)
    assert last["retained_bytes"] == last["lag_bytes"] * MB
    assert source[0].values == {
        "retained_bytes": MB,
        "wal_status": "reserved",
        "safe_wal_size": None,
        "lag_bytes": 1,
        "snapshot_age": 0.5,
    }


def test_samples_that_tell_nothing_any_more_are_forgotten(
    journal: Journal, migration: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.sample(migration, "source", {"retained_bytes": 1})
    Recorder(journal, migration, lambda _event: None)
    assert len(journal.samples(migration, "source")) == 1
    monkeypatch.setattr("migrator.recording.KEPT", timedelta(0))
    Recorder(journal, migration, lambda _event: None)
    assert journal.samples(migration, "source") == []


def test_what_other_steps_count_is_no_sample_of_the_copy(journal: Journal, migration: int) -> None:
    record = Recorder(journal, migration, lambda _event: None)
    record(StepProgress("build_indexes", 3, 9, "objects"))
    assert journal.samples(migration, "progress") == []


def test_the_tables_of_a_copy_are_recorded_as_they_go(journal: Journal, migration: int) -> None:
    record = Recorder(journal, migration, lambda _event: None)
    record(CopyStarted((("public.a", 100), ("public.b", 50))))
    record(TableProgressed("public.a", "started", 0, 0, 100))
    record(TableProgressed("public.a", "copying", 0, 60, 100))
    record(TableProgressed("public.b", "started", 0, 0, 50))
    record(TableProgressed("public.b", "copied", 7, 55, 50))
    rows = {r.table_name: (r.state, r.rows, r.bytes) for r in journal.tables(migration)}
    assert rows == {"public.a": ("copying", 0, 60), "public.b": ("done", 7, 55)}
