from __future__ import annotations

import io
import json
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.events import (
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
from migrator.render.jsonl import JsonLines, encode
from migrator.render.lines import counts
from migrator.render.live import Live
from migrator.render.plain import INTERVAL_SECONDS, Plain
from migrator.render.rate import Rate, progress_text
from migrator.render.renderer import Renderer, choose
from migrator.render.text import text
from migrator.render.units import (
    amount_text,
    bytes_text,
    columns,
    count_text,
    plural,
    seconds_text,
    visible,
)
from migrator.report import (
    AdvanceReport,
    AttemptReport,
    ComparisonReport,
    FindingReport,
    HistoryReport,
    IndexProgress,
    PlanReport,
    ProgressReport,
    Report,
    ServerReport,
    StatusReport,
    StepReport,
    StreamReport,
    TableProgress,
    TransitionReport,
)

SOURCE = ServerReport("source", "127.0.0.1:5432", "shop", "17.10")
DESTINATION = ServerReport("destination", "127.0.0.1:5433", "shop", "18.6")
MB = 1024**2


@dataclass(frozen=True)
class Unheard(Event):
    """An event that no renderer knows."""

    colour: str = "green"


EVENTS: tuple[Event, ...] = (
    TransitionStarted("replicate", "schema_copied", "replicating", ("copy_tables", "analyze")),
    StepStarted("replicate", "copy_tables", 1, 2),
    StepFound("copy_tables", "partial", {"tables": 3}),
    StepProgress("copy_tables", 50 * MB, 100 * MB, "bytes", "public.orders"),
    TableProgressed("public.orders", "copying", 0, 50 * MB, 100 * MB),
    TableProgressed("public.orders", "copied", 7, 100 * MB, 100 * MB),
    SourceSampled(16 * MB, "extended", 5 * MB, 1 * MB, 12.0),
    StepNote("copy_tables", "copy begins again\nfrom a fresh slot"),
    StepFinished("copy_tables", 31.2, {"rows": 5}),
    StepStarted("replicate", "analyze", 2, 2),
    StepFailedEvent("analyze", {"error": "TimedOut", "message": "gave up [after] 5 s"}),
    StepFinished("copy_tables", 1.0, {}, undo=True),
    StateChanged("schema_copied", "replicating"),
    Unheard(),
)


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def __call__(self) -> float:
        return self.at


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Gone(io.StringIO):
    def write(self, _text: str) -> int:
        raise BrokenPipeError


# --- units -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("count", "written"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 kB"),
        (1234567, "1.2 MB"),
        (16 * MB, "16 MB"),
        (1023 * MB, "1.0 GB"),
        (85.4 * MB, "85 MB"),
        (3 * 1024**4, "3.0 TB"),
    ],
)
def test_bytes_are_written_short_with_their_unit(count: float, written: str) -> None:
    assert bytes_text(count) == written


@given(st.integers(min_value=0, max_value=2**60))
def test_bytes_are_never_written_longer_than_seven_characters(count: int) -> None:
    assert len(bytes_text(count)) <= 7


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0.034, "34 ms"),
        (0.4, "0.4 s"),
        (0.0996, "0.1 s"),
        (9.96, "10 s"),
        (59.6, "1 min 00 s"),
        (185, "3 min 05 s"),
        (3599.6, "1 h 00 min"),
        (7800, "2 h 10 min"),
        (3 * 86400, "3 d 00 h"),
    ],
)
def test_times_are_written_with_their_unit(seconds: float, written: str) -> None:
    assert seconds_text(seconds) == written


def test_counts_have_their_thousands_apart() -> None:
    assert count_text(9300000) == "9 300 000"
    assert (plural(1, "table"), plural(2, "table")) == ("1 table", "2 tables")
    assert (amount_text(2048, "bytes"), amount_text(3, "indexes")) == ("2.0 kB", "3 indexes")


@given(st.text())
def test_nothing_shown_can_steer_a_terminal(name: str) -> None:
    assert visible(name).isprintable()


def test_columns_align_and_leave_no_blanks_behind() -> None:
    assert columns([["a", "bb", ""], ["ccc", "d"]]) == ["  a    bb", "  ccc  d"]
    assert columns([["a", "", "b"], ["c"]]) == ["  a  b", "  c"]
    assert columns([]) == []


# --- rate ------------------------------------------------------------------------------------


def test_a_rate_is_measured_over_the_window_and_begins_anew_with_another_unit() -> None:
    clock = Clock()
    rate = Rate(clock)
    for _ in range(100):
        clock.at += 1
        rate.add(StepProgress("s", int(clock.at) * 10 * MB, 0, "bytes"))
    assert rate.per_second == pytest.approx(10 * MB)
    rate.add(StepProgress("s", 1, 5, "indexes"))
    assert rate.per_second == 0.0


def test_progress_is_told_with_rate_and_time_left() -> None:
    event = StepProgress("s", 1024 * MB, 2048 * MB, "bytes")
    assert progress_text(event, 64 * MB) == "50 %  1.0 GB of 2.0 GB · 64 MB/s · 16 s left"
    assert progress_text(replace(event, total=0), 0.0) == "1.0 GB"
    event = StepProgress("s", 5, 36, "indexes")
    assert progress_text(event, 2) == "13 %  5 of 36 indexes · 16 s left"


def test_a_finished_step_tells_what_it_counted() -> None:
    evidence = {"tables": 14, "rows": 1007585, "bytes": 77233079, "position": "0/1", "open": True}
    assert counts(evidence) == "14 tables · 1 007 585 rows · 74 MB"
    assert counts({"foreign_keys": 1, "indexes": 1, "left": 0}) == "1 foreign key · 1 index"


# --- renderers -------------------------------------------------------------------------------


def test_plain_lines_say_what_begins_and_what_is_done() -> None:
    out = io.StringIO()
    with Plain(out) as renderer:
        for event in EVENTS:
            renderer.handle(event)
    assert out.getvalue().splitlines() == [
        "replicate  schema_copied → replicating",
        "  copy_tables  working  1/2",
        "  copy_tables  copy begins again\\nfrom a fresh slot",
        "  copy_tables  done in 31 s  5 rows",
        "  analyze      working  2/2",
        "  analyze      failed: gave up [after] 5 s",
        "  copy_tables  undone in 1.0 s",
        "state  replicating",
        "Unheard  colour green",
    ]


def test_verbose_plain_lines_tell_what_was_found_and_proven() -> None:
    out = io.StringIO()
    renderer = Plain(out, verbose=True)
    for event in EVENTS:
        renderer.handle(event)
    assert "found partial (tables 3)" in out.getvalue()
    assert out.getvalue().count("public.orders") == 1
    assert "    public.orders  copied  100 MB · 7 rows" in out.getvalue()
    assert "done in 31 s (rows 5)" in out.getvalue()
    source = "retained WAL 16 MB · WAL extended · lost after 5.0 MB more · lag 1.0 MB · snapshot 12 s old"
    assert f"    source  {source}" in out.getvalue().splitlines()


def test_plain_progress_comes_every_few_seconds_only() -> None:
    out, clock = io.StringIO(), Clock()
    renderer = Plain(out, now=clock)
    renderer.handle(StepStarted("t", "copy_tables", 1, 1))
    for _ in range(300):
        clock.at += 0.1
        renderer.handle(StepProgress("copy_tables", int(clock.at * MB), 60 * MB, "bytes", "p.t"))
    lines = out.getvalue().splitlines()[1:]
    assert len(lines) == pytest.approx(30 / INTERVAL_SECONDS, abs=1)
    assert "1.0 MB/s" in lines[-1]
    assert "left" in lines[-1]
    assert lines[-1].endswith("p.t")


def test_json_lines_hold_one_event_each() -> None:
    out = io.StringIO()
    renderer = JsonLines(out)
    for event in EVENTS:
        renderer.handle(event)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [one["event"] for one in told] == [type(event).__name__ for event in EVENTS]
    assert told[-1] == {"event": "Unheard", "colour": "green"}


def test_json_writes_moments_and_dataclasses() -> None:
    written = encode({"at": datetime(2026, 2, 3, tzinfo=UTC), "who": SOURCE, "set": {2, 1}})
    assert json.loads(written)["at"] == "2026-02-03T00:00:00+00:00"
    assert json.loads(written)["who"]["side"] == "source"
    assert json.loads(written)["set"] == [1, 2]


def test_the_live_display_leaves_a_line_per_finished_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    out = Terminal()
    with Live(out) as renderer:
        for event in EVENTS[:4]:
            renderer.handle(event)
        with renderer.paused():
            out.write("question?")
        for event in EVENTS[4:]:
            renderer.handle(event)
    shown = out.getvalue()
    assert "retained WAL" not in shown
    assert "✓" in shown
    assert "done in 31 s" in shown
    assert "gave up [after] 5 s" in shown
    assert "Unheard" in shown
    assert "50 %" in shown


@pytest.mark.parametrize("renderer", [Plain, JsonLines])
def test_work_goes_on_when_nobody_reads(renderer: type[Plain] | type[JsonLines]) -> None:
    shown: Renderer = renderer(Gone())
    for event in EVENTS:
        shown.handle(event)


def test_the_renderer_is_chosen_by_stream_and_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(choose(True, Terminal()), JsonLines)
    assert isinstance(choose(False, Terminal()), Live)
    assert isinstance(choose(False, Terminal(), live=False), Plain)
    assert isinstance(choose(False, io.StringIO()), Plain)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose(False, Terminal()), Plain)


def test_only_the_live_display_imports_rich() -> None:
    probe = (
        "import sys, migrator.render.plain, migrator.render.jsonl, migrator.render.text;"
        "sys.exit('rich' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", probe], check=False).returncode == 0


# --- reports ---------------------------------------------------------------------------------

STATUS = StatusReport(
    "shop",
    "replicating",
    "migrator advance",
    SOURCE,
    DESTINATION,
    (
        TransitionReport("copy_schema", "planned", "schema_copied", "done"),
        TransitionReport("replicate", "schema_copied", "replicating", "done"),
        TransitionReport("sync_sequences", "replicating", "seq_synced", "next"),
    ),
    StreamReport("streaming", int(1.2 * MB), 0.4, 16 * MB),
)


def test_status_is_one_aligned_screen() -> None:
    assert text(STATUS) == [
        "shop  replicating → next: migrator advance (sync_sequences)",
        "  source       17.10      127.0.0.1:5432/shop",
        "  destination  18.6       127.0.0.1:5433/shop",
        "  stream       streaming  lag 1.2 MB · 0.4 s   retained WAL 16 MB",
        "  copy_schema     done",
        "  replicate       done",
        "  sync_sequences  next",
    ]


def test_status_tells_of_the_last_comparison_and_of_one_that_was_cut_short() -> None:
    done = ComparisonReport(
        "different", "forward", "hash_record_extended", "0/16", 300.4, (), {"different": 1, "equal": 8}, 3
    )
    begun = ComparisonReport("unfinished", "back", "md5", "", 7.0, ("line\n",))
    lines = text(replace(STATUS, comparison=done, unfinished=begun))
    assert [line for line in lines if line.startswith("  compared")] == [
        "  compared     different at LSN 0/16 by hash_record_extended, 0:05:00 ago: 8 of 9 tables equal · "
        "1 different · 3 rows different",
        "  compared     not finished, begun 0:00:07 ago on the way back, of line\\n only: "
        "migrator diff goes on with it",
    ]


def test_status_tells_warnings_first_and_what_is_half_done() -> None:
    steps = (StepReport("a", "done"), StepReport("b", "partial", "3 tables"), StepReport("c"))
    report = replace(
        STATUS,
        warnings=("the slot is lost",),
        last_error="gave up",
        holder="ops@host",
        source=ServerReport("source", "127.0.0.1:5432", "shop", error="refused"),
        transitions=(TransitionReport("replicate", "x", "y", "next", steps),),
        stream=None,
    )
    lines = text(report, True)
    assert lines[0] == "warning: the slot is lost"
    assert "  last error: gave up" in lines
    assert "  held by ops@host" in lines
    assert "  replicate  next  1 of 3 steps done" in lines
    assert "  b  partial  3 tables" in lines
    assert any(line.endswith("cannot be reached") for line in lines)


def test_a_plan_groups_findings_blocking_first_and_marks_the_point_of_no_return() -> None:
    report = PlanReport(
        "shop",
        "seq_synced",
        SOURCE,
        DESTINATION,
        12,
        1200 * MB,
        1,
        (
            FindingReport("size", "info", "public.a", "is large", ""),
            FindingReport("key", "block", "public.b\n", "has no key", "ALTER TABLE b\n  x"),
        ),
        (
            TransitionReport(
                "cut_over",
                "seq_synced",
                "cutover",
                "next",
                (StepReport("pass_gates", "absent"), StepReport("hand_over", "absent")),
            ),
        ),
    )
    assert text(report) == [
        "shop  now seq_synced",
        "  source       17.10  127.0.0.1:5432/shop",
        "  destination  18.6   127.0.0.1:5433/shop",
        "  12 tables · 1.2 GB · 1 sequence",
        "blocks  key  public.b\\n: has no key",
        "    ALTER TABLE b",
        "      x",
        "tells  size  public.a: is large",
        "cut_over  → cutover",
        "  pass_gates  absent",
        "  hand_over   absent  point of no return",
    ]


def test_a_rollback_is_shown_as_undoing() -> None:
    undo = TransitionReport("copy_schema", "planned", "schema_copied", "undo")
    report = PlanReport("s", "", SOURCE, DESTINATION, 0, 0, 0, (), (undo,))
    assert text(report)[-1] == "undo copy_schema"


def test_an_advance_tells_from_where_to_where_and_what_next() -> None:
    report = AdvanceReport("shop", "planned", "replicating", 75, "migrator advance", ("look",))
    assert text(report) == [
        "shop  planned → replicating  in 1 min 15 s",
        "  attention: look",
        "  next: migrator advance",
    ]


def test_progress_shows_tables_at_work_and_finished_ones_only_when_verbose() -> None:
    report = ProgressReport(
        "shop",
        "schema_copied",
        1,
        3,
        512 * MB,
        1024 * MB,
        1234567,
        64.0 * MB,
        8.0,
        (
            TableProgress("public.done", "done", 10, 10 * MB, 10 * MB, 2.0),
            TableProgress("public.later", "waiting", 0, 0, 100 * MB),
            TableProgress("public.now", "copying", 5, 50 * MB, 100 * MB, 1.0),
        ),
    )
    lines = text(report)
    assert lines[1] == ("  1 of 3 tables · 512 MB of 1.0 GB · 1 234 567 rows · 64 MB/s · 8.0 s left")
    assert [line.split()[0] for line in lines[2:]] == ["public.now", "public.later"]
    assert "50 MB of 100 MB" in lines[2]
    assert len(text(report, True)) == 5


STREAM = StreamReport(
    "no subscription yet",
    int(1.2 * MB),
    None,
    16 * MB,
    "extended",
    retained_growth=2.5 * MB,
    safe_wal_size=4 * MB,
    snapshot_seconds=185.0,
    snapshot_transactions=1234,
    catalog_transactions=1,
)


def test_status_tells_what_the_source_bears_and_where_that_goes() -> None:
    assert text(replace(STATUS, stream=STREAM))[3:5] == [
        "  stream       no subscription yet  lag 1.2 MB           retained WAL 16 MB, growing 2.5 MB/s"
        "  WAL extended  lost after 4.0 MB more",
        "  vacuum       held back for 3 min 05 s by the snapshot (1 234 transactions)"
        " · in catalogs by the slot (1 transaction)",
    ]


@pytest.mark.parametrize(
    ("growth", "told"),
    [(None, "16 MB"), (0.2, "16 MB"), (2048.0, "16 MB, growing 2.0 kB/s"), (-1.0, "16 MB, shrinking 1 B/s")],
)
def test_a_trend_is_told_where_there_is_one(growth: float | None, told: str) -> None:
    stream = StreamReport("streaming", 0, 0.0, 16 * MB, "reserved", retained_growth=growth)
    assert text(replace(STATUS, stream=stream))[3].endswith(f"  retained WAL {told}")


def test_progress_tells_index_builds_before_tables() -> None:
    report = ProgressReport(
        "shop",
        "schema_copied",
        0,
        1,
        0,
        100 * MB,
        0,
        0.0,
        None,
        (TableProgress("public.now", "copying", 5, 50 * MB, 100 * MB, 1.0),),
        STREAM,
        (
            IndexProgress("orders_pkey", "public.orders", "building index: scanning table", 41.6),
            IndexProgress("", "public.\x1bbad", "initializing"),
        ),
    )
    lines = text(report)
    assert lines[2].startswith("  stream  no subscription yet")
    assert lines[3].startswith("  vacuum  held back for")
    assert lines[4:] == [
        "  index  orders_pkey on public.orders  building index: scanning table  42 %",
        "  index  on public.\\x1bbad             initializing",
        "  public.now  copying  50 MB of 100 MB  5 rows  1.0 s",
    ]


def test_history_is_a_line_per_attempt_with_its_error_below() -> None:
    at = datetime(2026, 2, 3, 10, 12, tzinfo=UTC)
    attempt = AttemptReport(
        7,
        "replicate",
        "copy_tables",
        "apply",
        "failed",
        at,
        at + timedelta(seconds=12),
        "host",
        42,
        "0.1.0",
        error={"message": "gave up"},
    )
    begun = replace(attempt, number=8, finished_at=None, outcome="begun", error={})
    lines = text(HistoryReport("shop", "schema_copied", (attempt, begun)))
    assert lines[0] == "shop  schema_copied"
    assert "replicate  copy_tables  apply  failed  12 s" in lines[1]
    assert lines[2] == "      gave up"
    assert lines[3].endswith("begun")
    assert "      host pid 42 v0.1.0" in text(HistoryReport("s", "x", (attempt,)), True)


def test_an_unknown_report_shows_its_fields() -> None:
    @dataclass(frozen=True)
    class Other(Report):
        answer: int = 42

    assert text(Other()) == ["answer  42"]
