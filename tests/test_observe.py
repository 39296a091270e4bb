"""What ``status`` and ``progress`` see of a migration on real servers, and that they leave it alone."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from migrator.connections import reading
from migrator.copy.protection import sample_source
from migrator.copy.relay import Relay
from migrator.events import ignore
from migrator.observe_stream import TREND, growth
from migrator.pg.index_builds import index_builds, named
from migrator.pg.session import ReadSession
from migrator.recording import Recorder
from migrator.render.text import text
from migrator.store.journal import SampleRecord
from tests.fixtures import small
from tests.fixtures.road import before

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from migrator.report import ProgressReport, StreamReport
    from tests.fixtures.road import Road

# Writes WAL that the stream does not carry and the slot keeps all the same.
WRITE_WAL = """
create table public.noise as
select g as id, repeat('x', 200) as text from generate_series(1, 5000) g
"""
SLOW = """
create function public.slow(int) returns int immutable language plpgsql as
$$ begin perform pg_catalog.pg_sleep(0.1); return $1; end $$;
create table public.builds (id int);
insert into public.builds select generate_series(1, 20);
"""
BUILD = 'create index "by ""id""" on public.builds (public.slow(id))'
NOW = datetime(2026, 2, 3, 12, 0, tzinfo=UTC)


def sampled(ago: float, retained: int, status: str = "reserved") -> SampleRecord:
    values = {"retained_bytes": retained, "wal_status": status}
    return SampleRecord(NOW - timedelta(seconds=ago), "source", values)


def stream_of(report: Any) -> StreamReport:
    stream: StreamReport | None = report.stream
    assert stream is not None
    return stream


# --- the trend -------------------------------------------------------------------------------


def test_a_trend_is_measured_over_the_last_minutes() -> None:
    samples = [sampled(TREND.total_seconds() + 60, 0), sampled(100, 1000), sampled(2, 1500)]
    assert growth(samples, 3000, NOW) == pytest.approx(20.0)
    assert growth(samples, 500, NOW) == pytest.approx(-5.0)


def test_a_trend_begins_at_the_newest_sample_when_all_are_old() -> None:
    assert growth([sampled(9000, 7), sampled(1000, 0)], 3000, NOW) == pytest.approx(3.0)


@pytest.mark.parametrize("samples", [[], [sampled(0.5, 1)], [sampled(9, 0, "gone")]])
def test_without_a_sample_of_the_slot_some_time_ago_there_is_no_trend(samples: list[SampleRecord]) -> None:
    assert growth(samples, 3000, NOW) is None


# --- the source ------------------------------------------------------------------------------


def test_a_live_stream_is_told_with_its_slot_and_looking_writes_nothing(
    road: Callable[..., Road], source_cluster: EmbeddedServer
) -> None:
    reserved = "reserved" if source_cluster.major >= 13 else ""
    way = road("replicating")
    app = way.app
    stored = small.store_rows(way.project)
    for report in (app.progress(), app.status()):
        stream = stream_of(report)
        assert stream.state == "streaming"
        assert stream.retained_bytes is not None
        assert stream.retained_bytes >= 0
        assert stream.wal_status == reserved
        assert stream.safe_wal_size is None
        assert stream.catalog_transactions is not None
        assert (stream.snapshot_seconds, stream.snapshot_transactions) == (0.0, 0)
        assert stream.retained_growth is None or isinstance(stream.retained_growth, float)
        assert any(line.startswith("  vacuum") for line in text(report))
    small.wait_until(lambda: stream_of(app.progress()).lag_seconds is not None, "the lag in seconds")
    assert small.store_rows(way.project) == stored

    # A stream that stands still: the WAL it leaves behind has a trend.
    record = app.journal().load(app.name)
    way.on_destination(f"alter subscription {subscription(way)} disable")
    with reading(app.config, record, ignore) as ctx:
        sample = sample_source(ctx)
    Recorder(app.journal(), record.id, ignore)(sample)
    assert (sample.wal_status, sample.snapshot_age) == (reserved, 0.0)
    stored = small.store_rows(way.project)
    way.on_source(WRITE_WAL)
    small.wait_until(lambda: stream_of(app.status()).retained_growth is not None, "a trend")
    stream = stream_of(app.progress())
    assert stream.retained_growth is not None
    assert stream.retained_growth > 0
    assert stream.lag_seconds is None
    assert (stream.retained_bytes or 0) > sample.retained_bytes + 1_000_000
    assert small.store_rows(way.project) == stored


def subscription(way: Road) -> str:
    (row,) = way.on_destination("select subname from pg_subscription where subname like 'migrator_%'")
    return str(row[0])


def test_the_snapshot_of_a_copy_is_told_while_it_is_held(
    road: Callable[..., Road], monkeypatch: pytest.MonkeyPatch
) -> None:
    way = road("schema_copied")
    app = way.app
    seen: list[ProgressReport] = []

    def look() -> None:
        way.on_source("create table public.began (id int)")
        seen.append(app.progress())

    before(monkeypatch, Relay, "copy", look)
    way.advance("replicating")
    stream = stream_of(seen[0])
    assert stream.state == "no subscription yet"
    assert stream.snapshot_seconds > 0
    assert stream.snapshot_transactions >= 1
    assert "by the snapshot" in "".join(text(seen[0]))
    (sample, *_) = app.journal().samples(app.journal().load(app.name).id, "progress")
    assert set(sample.values) == {"bytes", "rows", "retained_bytes", "lag_bytes"}


# --- index builds ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE UNIQUE INDEX by_token ON public.t USING btree (token);", "by_token"),
        ('create index concurrently if not exists "by ""id""" on t (id)', 'by "id"'),
        ("ALTER TABLE ONLY public.t\n    ADD CONSTRAINT t_pkey PRIMARY KEY (id);", "t_pkey"),
        ("create index on t (id)", ""),
        ("alter table t add primary key (id)", ""),
        ("reindex table t", ""),
    ],
)
def test_an_index_has_the_name_that_its_statement_says(statement: str, name: str) -> None:
    assert named(statement) == name


def test_progress_tells_the_index_that_is_being_built(road: Callable[..., Road]) -> None:
    way = road("planned")
    way.on_destination(SLOW)
    with ReadSession.open(way.destination, side="destination", application="test") as session:
        assert index_builds(session) == []
    building = threading.Thread(target=way.on_destination, args=(BUILD,))
    building.start()
    try:
        small.wait_until(lambda: way.app.progress().indexes != (), "the build to be seen")
        (index,) = way.app.progress().indexes
    finally:
        building.join()
    assert (index.index, index.table) == ('by "id"', "public.builds")
    assert index.phase.startswith("building index")
    assert index.percent is None or 0 <= index.percent <= 100
    assert way.app.progress().indexes == ()
