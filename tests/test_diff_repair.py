"""``migrator diff --repair`` makes proven rows the same while the stream goes on, and nothing else."""

from __future__ import annotations

import json
import re
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.cli import session as cli_session
from migrator.data_diff import Options
from migrator.diff import mend, proven
from migrator.errors import OutOfOrder
from migrator.switchover import recopy
from tests.fixtures import small
from tests.fixtures.road import STUBBORN, Road, before, standing
from tests.fixtures.servers import connect, psql_of
from tests.test_copy_diff import Told, behind_its_back, command, waiting_for_a_standby
from tests.test_diff_data import IDENTITIES, ROWS, SPOILED, SPOILED_TABLES, TABLES, TYPES
from tests.test_diff_fix import OTHER_HABITS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random
    from uuid import UUID

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer
    from migrator.report_repair import RepairReport

MORE = """
create table pairs (id int primary key, u text unique);
insert into pairs select g, 'u' || g from generate_series(1, 20) g;
create table child (id int primary key, parent int references pairs);
insert into child select g, g from generate_series(1, 20) g;
create table always (id int generated always as identity primary key, t text);
insert into always (t) select 'x' from generate_series(1, 20);
create table seen (at timestamptz default now());
create function see() returns trigger language plpgsql as $$
begin insert into public.seen default values; return new; end $$;
create trigger see after insert or update or delete on always for each row execute function see();
alter table seen replica identity full;
create table drift (at timestamptz[], span interval);
insert into drift
select array[timestamptz '2020-01-01' + g * interval '1 h'], make_interval(years => g, days => 1)
from generate_series(1, 20) g;
alter table drift replica identity full;
create table scales (n numeric primary key, t text);
insert into scales select g::numeric(9, 1), 'x' from generate_series(1, 20) g;
create type span as (day date, long interval);
create table spans (k span primary key, t text);
insert into spans select row(date '2020-01-01' + g, '1 day -2 h')::span, 'x' from generate_series(1, 20) g;
"""
ALL = (
    *SPOILED_TABLES, "nothing", "busy", "counter", "queue", "pairs", "child", "always", "seen", "drift",
    "spans", "scales", "part_1",
)  # fmt: skip
SPOILED_MORE = """
;delete from pairs where id in (1, 2); insert into pairs values (1, 'u2'), (2, 'u1');
insert into nothing default values; insert into nothing default values;
delete from always where id < 4; update always set t = e'a\\\\b''\\n' where id = 5;
delete from pairs where id = 7;
delete from drift where span < '3 years'; insert into drift values ('{2020-02-03}', '1 year -2 days');
update spans set t = 'y' where (k).day = '2020-01-02'; delete from spans where (k).day = '2020-01-03';
update scales set n = 2.00 where n = 2
"""


@pytest.fixture(scope="module")
def moved(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Road]:
    """A migration in ``replicating``, which the last test takes further."""
    PRINTED["digits"] = 1 if source_cluster.major >= 12 else 0
    clusters, directory = (source_cluster, destination_cluster), tmp_path_factory.mktemp("repair")
    with standing("mend", [TYPES, ROWS, TABLES, IDENTITIES, MORE], clusters, directory) as road:
        yield road


@pytest.fixture
def psql(source_cluster: EmbeddedServer) -> Callable[..., None]:
    """Run a script by psql, in a session that prints and reads by other settings than ours."""

    def run_script(url: str, script: Path, *options: str) -> None:
        words = [str(psql_of(source_cluster)), "-X", "-q", *options, "-f", str(script), url]
        ended = subprocess.run(words, capture_output=True, text=True, check=False, env=OTHER_HABITS)
        assert (ended.returncode, ended.stderr) == (0, "")

    return run_script


def repair(moved: Road, *patterns: str, **options: Any) -> RepairReport:
    """Repair within this process; the file is beside the store."""
    asked = Options(patterns, **{"jobs": 2, **options})
    found = moved.app.compared(asked)

    def write(lines: Iterator[str]) -> str:
        path = moved.project.directory / "repair.sql"
        path.write_text("".join(lines), encoding="utf-8")
        return str(path)

    return moved.app.repair(found, asked, write=write)


# As many as the older side has a rule for.
PRINTED = {"digits": 1}


def rows(url: str, name: str) -> list[str]:
    """Return a table's rows as text, in an order of their own."""
    with connect(url, client_encoding="utf8") as connection:
        connection.execute(f"set extra_float_digits = {PRINTED['digits']}")
        return sorted(r[0] for r in connection.execute(f"select (t_.*)::text from {name} t_".encode()))


def contents(url: str) -> dict[str, list[str]]:
    return {name: rows(url, name) for name in ALL}


def done(report: RepairReport) -> dict[str, tuple[int, int]]:
    return {t.table.removeprefix("public."): (t.rows, t.left) for t in report.tables}


def verdict(told: Told) -> tuple[int, str]:
    return told.code, json.loads(told.out)["diff"]["verdict"]


def test_what_is_declined_or_cannot_be_asked_changes_nothing(
    moved: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind_its_back(moved.destination, "update uq set b = 'y' where a = 3; delete from uq where a = 4")
    spoiled = contents(moved.destination)
    assert command(moved, "diff", "--repair", "uq").code == 2
    asked = list[str]()

    def no(question: str, _renderer: object) -> bool:
        asked.append(question)
        return False

    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr(cli_session, "ask", no)
    told = command(moved, "diff", "--repair", "uq", "typed")
    assert told.code == 3
    assert asked == ["Repair on the destination: public.uq (2 rows)?"]
    assert re.search(r"different +public\.uq", told.err)
    assert contents(moved.destination) == spoiled
    assert list(moved.project.directory.glob("**/repair-*.sql")) == []
    for words, hint in (
        (("--source", moved.source, "--destination", moved.destination), "--fix-sql"),
        (("--count",), "diff --repair"),
        (("--schema",), "--schema"),
    ):
        refused = command(moved, "diff", "--repair", "--yes", *words)
        assert refused.code == 2
        assert hint in refused.err


def test_every_planted_difference_is_repaired_and_the_file_takes_it_back(
    moved: Road, psql: Callable[..., None]
) -> None:
    good = contents(moved.source)
    behind_its_back(moved.destination, SPOILED + SPOILED_MORE)
    spoiled = contents(moved.destination)
    told = command(moved, "diff", "--repair", "--yes", "--json")
    answer = json.loads(told.out)
    assert (told.code, answer["diff"]["verdict"], answer["side"]) == (0, "equal", "destination")
    assert {t["table"]: (t["rows"], t["left"], t["note"]) for t in answer["tables"]}["public.pairs"] == (
        3,
        0,
        "",
    )
    assert all(t["left"] == 0 and not t["note"] for t in answer["tables"])
    assert contents(moved.destination) == contents(moved.source) == good
    assert rows(moved.destination, "seen") == []
    file = Path(answer["file"])
    assert file.parent == moved.project.directory / ".migrator"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    psql(moved.destination, file, "--variable", "undo=1")
    assert contents(moved.destination) == spoiled
    psql(moved.destination, file)
    assert contents(moved.destination) == good
    # So does the script for psql of who repairs by hand pass the fence.
    behind_its_back(moved.destination, "update uq set b = 'other' where a = 70")
    script = file.with_name("fix.sql")
    assert command(moved, "diff", "uq", "--fix-sql", str(script)).code == 4
    psql(moved.destination, script)
    assert command(moved, "diff").code == 0
    history = command(moved, "history", "-v").out
    assert str(file) in history
    # The fence stands as before.
    with connect(moved.destination) as connection, pytest.raises(psycopg.Error, match="fenced"):
        connection.execute("delete from uq")


# --- while the application writes ----------------------------------------------------------------


def churn(connection: Connection, token: UUID, dice: Random) -> None:
    """Write to the very rows that are planted, and around them."""
    choice, row = dice.random(), dice.randint(1, 40)
    if choice < 0.25:
        connection.execute("update busy set n = n + 1, t = %s where id = %s", (str(token), row))
    elif choice < 0.35:
        connection.execute("delete from busy where id = %s", (row,))
    elif choice < 0.5:
        insert = "insert into busy (id, t) values (%s, %s) on conflict (id) do update set t = excluded.t"
        connection.execute(insert, (row, str(token)))
    elif choice < 0.6:
        connection.execute("insert into bag values (%s, 'x')", (row % 5,))
    elif choice < 0.7:
        one = "delete from bag where ctid = (select min(ctid) from bag where a = %s)"
        connection.execute(one, (row % 5,))
    elif choice < 0.8:
        connection.execute("update uq set b = %s where a = %s", (str(token), row))
    else:
        new = "insert into ranged values (%s, %s) on conflict do nothing"
        connection.execute(new, (dice.randint(10**6, 10**12), str(token)))


PLANTS = (
    "update busy set t = 'other' where id % 3 = 0 and id < 60",
    "delete from busy where id % 4 = 0 and id < 80; update uq set b = 'other' where a < 60",
    "delete from bag where ctid = any (array(select ctid from bag where a < 5 limit 20))",
    "insert into bag select g % 5, 'x' from generate_series(1, 9) g; delete from uq where a < 30",
    "insert into ranged select -g, 'surplus' from generate_series(1, 150) g",
    "delete from ranged where id < 400 and id > 0",
)


def test_writers_on_these_very_rows_lose_nothing_and_double_nothing(
    moved: Road, writer: Callable[..., Writer]
) -> None:
    clients = writer(moved.source, churn, sessions=2, per_second=250.0)
    clients.wait_for(20)
    repaired = 0
    for plant in PLANTS:
        behind_its_back(moved.destination, plant)
        repaired += sum(t.rows for t in repair(moved, "busy", "bag", "uq", "ranged", rounds=20).tables)
    clients.wait_for(20)
    clients.stop()
    assert repaired > 200
    # What was written to all the while is left, and repaired when it rests.
    report = repair(moved, "busy", "bag", "uq", "ranged")
    assert (report.exit_code, report.diff.verdict) == (0, "equal")
    assert contents(moved.destination) == contents(moved.source)


def test_a_row_that_is_not_as_it_was_proven_is_left(moved: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    behind_its_back(moved.destination, "delete from uq where a in (101, 102, 103)")

    def move() -> None:
        moved.on_source("update uq set b = 'moved' where a = 101; delete from uq where a = 102")

    before(monkeypatch, mend.Mender, "mend", move)
    report = repair(moved, "uq")
    assert done(report) == {"uq": (1, 2)}
    # The one is gone on both sides.
    assert (report.exit_code, [t.different for t in report.diff.tables]) == (4, [1])
    assert done(repair(moved, "uq")) == {"uq": (1, 0)}
    assert rows(moved.destination, "uq") == rows(moved.source, "uq")


def test_a_commit_that_cannot_be_seen_yet_is_not_overwritten(
    moved: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind_its_back(moved.destination, "update uq set b = 'other' where a in (110, 111)")
    with connect(moved.source) as settings, connect(moved.source) as client:
        hidden = b"update uq set b = 'hidden' where a = 110"
        thread = threading.Thread(target=client.execute, args=[hidden])
        with waiting_for_a_standby(settings, client):

            def arrive() -> None:
                thread.start()
                moved.arrives("select 1 from uq where b = 'hidden'")

            before(monkeypatch, mend.Mender, "mend", arrive)
            report = repair(moved, "uq", rounds=2)
            assert done(report) == {"uq": (0, 2)}
            client.cancel_safe()
        thread.join()
    assert rows(moved.destination, "uq").count("(110,hidden)") == 1
    assert done(repair(moved, "uq")) == {"uq": (1, 0)}
    assert rows(moved.destination, "uq") == rows(moved.source, "uq")


def test_a_change_that_comes_while_rows_are_written_waits_for_them(
    moved: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without a lock on the table the stream would find no row to change or to remove, and pass on.
    plant = "delete from uq where a in (120, 121); update uq set b = 'other' where a = 122"
    behind_its_back(moved.destination, plant + "; insert into uq values (2001, 'surplus')")

    def change() -> None:
        with connect(moved.source) as application, application.transaction():
            application.execute("update uq set b = 'late' where a = 120")
            application.execute("delete from uq where a = 121")
            application.execute("update uq set b = 'late' where a = 122")
            application.execute("insert into uq values (2001, 'late')")
        ((position,),) = moved.on_source("select pg_current_wal_insert_lsn()::text")
        small.wait_until(
            lambda: moved.on_destination(WORKER_WAITS) or moved.on_source(APPLIED.format(position)),
            "the change to arrive",
        )

    before(monkeypatch, mend.Mender, "_remove", change)
    report = repair(moved, "uq")
    assert (done(report), report.exit_code) == ({"uq": (4, 0)}, 0)
    assert moved.on_source("select b from uq where a in (120, 121, 122, 2001)") == [("late",)] * 3
    assert rows(moved.destination, "uq") == rows(moved.source, "uq")
    moved.on_source("delete from uq where a = 2001")


WORKER_WAITS = """
select 1 from pg_locks l join pg_stat_subscription s on s.pid = l.pid
where l.relation = 'uq'::regclass and not l.granted
"""
APPLIED = "select 1 from pg_stat_replication where replay_lsn >= '{}'"


def test_rows_that_stand_in_each_others_way_are_written_together(
    moved: Road, psql: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    swapped = "delete from pairs where id in (11, 12); insert into pairs values (11, 'u12'), (12, 'u11')"
    behind_its_back(moved.destination, swapped)
    monkeypatch.setattr(mend, "AT_ONCE", 1)
    spoiled = rows(moved.destination, "pairs")
    report = repair(moved, "pairs")
    assert (done(report), report.exit_code) == ({"pairs": (2, 0)}, 0)
    psql(moved.destination, moved.project.directory / "repair.sql", "--variable", "undo=1")
    assert rows(moved.destination, "pairs") == spoiled
    psql(moved.destination, moved.project.directory / "repair.sql")
    assert rows(moved.destination, "pairs") == rows(moved.source, "pairs")
    # A row that another one stands in the way of for good is told, with what the server said.
    behind_its_back(
        moved.destination, "delete from child where id = 3; alter table child add check (id <> 3)"
    )
    report = repair(moved, "child")
    assert report.exit_code == 4
    assert "violates check constraint" in report.tables[0].note
    behind_its_back(moved.destination, "alter table child drop constraint child_id_check")
    assert repair(moved, "child").exit_code == 0


def test_what_no_longer_is_what_was_compared_is_not_touched(moved: Road) -> None:
    behind_its_back(
        moved.destination, "update typed set t = 'other' where id = 30; delete from uq where a = 9"
    )
    asked = Options(("typed", "uq"), jobs=2)
    found = moved.app.compared(asked)
    behind_its_back(moved.destination, "cluster typed using typed_pkey")
    report = moved.app.repair(found, asked, write=lambda lines: "".join(lines)[:0] or "nowhere")
    assert done(report) == {"typed": (0, 1), "uq": (1, 0)}
    assert "rewritten" in report.tables[0].note
    assert repair(moved, "typed").exit_code == 0


# --- whole tables --------------------------------------------------------------------------------


def test_a_table_with_too_many_differences_is_copied_again_while_it_is_written_to(
    moved: Road, monkeypatch: pytest.MonkeyPatch, writer: Callable[..., Writer]
) -> None:
    monkeypatch.setattr(proven, "MOST_ROWS", 10)
    clients = writer(moved.source, churn, sessions=2, per_second=250.0)
    clients.wait_for(20)
    plant = "update busy set t = 'other'; delete from pairs where id > 4; delete from bag where a = 1"
    plant += (
        "; insert into ranged select -g, 'surplus' from generate_series(1, 30) g; update typed set t = 'o'"
    )
    behind_its_back(moved.destination, plant)
    report = repair(moved, "busy", "pairs", "ranged", "typed", "bag", rounds=20)
    assert {t.table.removeprefix("public.") for t in report.tables if t.whole and not t.note} >= {
        "busy", "pairs", "ranged", "typed"
    }  # fmt: skip
    assert done(report)["pairs"] == (20, 0)
    clients.wait_for(50)
    clients.stop()
    monkeypatch.undo()
    assert repair(moved).exit_code == 0
    assert contents(moved.destination) == contents(moved.source)
    moved.on_source("insert into queue values (7, 'after')")
    moved.arrives("select 1 from queue where id = 7")
    # What the stream knows of them is what a table has that was copied in the beginning.
    small.wait_until(lambda: not moved.on_destination(UNREADY), "the stream to be past the copies")


def test_what_is_committed_before_the_copys_snapshot_is_not_applied_once_more(
    moved: Road, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proven, "MOST_ROWS", 10)
    # A worker that knows the table, and is not told what becomes of it.
    moved.on_source("insert into bag values (700, 'known')")
    moved.arrives("select 1 from bag where a = 700")
    behind_its_back(moved.destination, "insert into bag select 1, 'surplus' from generate_series(1, 20)")

    def change() -> None:
        moved.on_source("insert into bag values (701, 'once')")
        waits = WORKER_WAITS.replace("uq", "bag")
        small.wait_until(lambda: moved.on_destination(waits), "the change to arrive")

    before(monkeypatch, recopy, "later_snapshot", change)
    report = repair(moved, "bag")
    assert [t.whole for t in report.tables] == [True]
    assert report.exit_code == 0
    assert rows(moved.destination, "bag") == rows(moved.source, "bag")
    moved.on_source("delete from bag where a >= 700")


UNREADY = "select 1 from pg_subscription_rel where srsubstate <> 'r'"


def test_a_copy_that_is_killed_leaves_all_as_it_was(moved: Road) -> None:
    behind_its_back(moved.destination, "update scattered set t = 'other'")
    spoiled = rows(moved.destination, "scattered")
    with connect(moved.source) as application, application.transaction():
        # Its snapshot waits for whoever writes.
        application.execute("update counter set n = n + 1")
        process = moved.project.start("diff", "--repair", "--yes", "scattered")
        small.wait_until(lambda: moved.on_source(SNAPSHOT), "the snapshot to be waited for")
        process.kill()
        process.communicate()
    assert rows(moved.destination, "scattered") == spoiled
    moved.on_source("update scattered set t = 'later' where id = md5('8')::uuid")
    moved.arrives("select 1 from scattered where t = 'later'")
    report = repair(moved, "scattered")
    assert (done(report), report.exit_code) == ({"scattered": (5000, 0)}, 0)
    assert contents(moved.destination) == contents(moved.source)


SNAPSHOT = "select 1 from pg_replication_slots where temporary"


# --- cut short -----------------------------------------------------------------------------------


def test_a_run_that_is_killed_leaves_the_stream_going_and_the_next_one_ends_it(moved: Road) -> None:
    behind_its_back(
        moved.destination, "delete from always where id < 10; update uq set b = 'other' where a < 9"
    )
    with connect(moved.destination, options=STUBBORN) as holder:
        with holder.transaction():
            # The lock that the stream's worker takes.
            holder.execute("lock table uq in row exclusive mode")
            process = moved.project.start("diff", "--repair", "--yes", "always", "uq")
            small.wait_until(lambda: waits(moved), "the repair to wait for the second table")
            process.kill()
            process.communicate()
        small.wait_until(lambda: not waits(moved), "the server to notice")
    assert rows(moved.destination, "always") == rows(moved.source, "always")
    assert "diff/repair: it never finished" in command(moved, "status").out
    moved.on_source("update uq set b = 'later' where a = 8")
    moved.arrives("select 1 from uq where b = 'later'")
    told = command(moved, "diff", "--repair", "--yes", "--json", "always", "uq")
    assert verdict(told) == (0, "equal")
    assert contents(moved.destination) == contents(moved.source)


WAITS = """
select 1 from pg_locks l join pg_stat_activity a on a.pid = l.pid
where l.relation = 'uq'::regclass and l.mode = 'ShareRowExclusiveLock' and not l.granted
"""


def waits(moved: Road) -> bool:
    return bool(moved.on_destination(WAITS))


# --- after the cutover ---------------------------------------------------------------------------


def test_after_the_cutover_the_source_is_repaired_and_nothing_goes_round(
    moved: Road, monkeypatch: pytest.MonkeyPatch, writer: Callable[..., Writer]
) -> None:
    behind_its_back(moved.destination, "delete from uq where a = 50")
    asked = Options(("uq",), jobs=2)
    stale = moved.app.compared(asked)
    assert repair(moved, "uq").exit_code == 0
    moved.advance("cutover")
    # What was compared before is the other way round now.
    with pytest.raises(OutOfOrder):
        moved.app.repair(stale, asked, write=lambda lines: "".join(lines)[:0])
    with connect(moved.source) as connection, pytest.raises(psycopg.Error, match="fenced"):
        connection.execute("delete from uq")
    refused = json.loads(command(moved, "status", "--json").out)["refused_writes"]
    assert refused > 0
    moved.on_destination("update uq set b = 'new' where a = 60")
    small.wait_until(lambda: moved.on_source("select 1 from uq where b = 'new'"), "the stream to lead back")
    before_it = versions(moved.destination)
    behind_its_back(moved.source, SPOILED + SPOILED_MORE)
    told = command(moved, "diff", "--repair", "--yes", "--json")
    assert verdict(told) == (0, "equal")
    assert json.loads(told.out)["side"] == "source"
    assert contents(moved.source) == contents(moved.destination)
    assert versions(moved.destination) == before_it
    assert json.loads(command(moved, "status", "--json").out)["refused_writes"] == refused
    monkeypatch.setattr(proven, "MOST_ROWS", 100)
    clients = writer(moved.destination, churn, sessions=2, per_second=200.0)
    for plant in (PLANTS[0], PLANTS[3], "update busy set t = 'other'"):
        behind_its_back(moved.source, plant)
        repair(moved, "busy", "bag", "uq", rounds=20)
    clients.wait_for(10)
    clients.stop()
    assert repair(moved).exit_code == 0
    assert contents(moved.source) == contents(moved.destination)


def versions(url: str) -> dict[str, list[str]]:
    return {name: rows(url, f"(select u_.xmin, u_.ctid, u_ from {name} u_)") for name in ALL}
