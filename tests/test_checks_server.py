"""Preflight finds what is set up on the servers so that the migration, or the application, would suffer."""

from __future__ import annotations

import struct
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from migrator.checks import differing_settings, old_transactions, server_versions, transaction_ids
from migrator.config import load
from migrator.connections import reading
from migrator.demo.servers import EmbeddedServer
from migrator.events import ignore
from migrator.pg.names import Names
from tests.fixtures.findings import execute
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.fixtures.findings import Findings
    from tests.fixtures.project import Project

    Pair = tuple[EmbeddedServer, EmbeddedServer]

HOSTILE = 'Da "ta" \'b'
# What each server of this file is started with, beside what all tests' servers are.
SETTINGS = {
    "fsync": "off",
    "autovacuum": "off",
    "autovacuum_freeze_max_age": "100000",
    "listen_addresses": "127.0.0.1,127.0.0.2",
    "max_wal_size": "32MB",
}
# What only some versions have, and what a server is given that is to have something wrong of everything.
CROOKED = {
    "idle_replication_slot_timeout": "2h",
    "max_slot_wal_keep_size": "1MB",
    "output_plugin_libraries": "test_decoding",
    "wal_sender_timeout": "5s",
    "wal_receiver_timeout": "5s",
    "transaction_timeout": "1min",
    "lock_timeout": "10s",
    "array_nulls": "off",
    "xmloption": "document",
    "max_locks_per_transaction": "10",
    "max_connections": "10",
    "max_prepared_transactions": "0",
    "default_transaction_read_only": "on",
    "timezone": "Asia/Shanghai",
    "datestyle": "SQL, DMY",
    "session_replication_role": "replica",
    "statement_timeout": "30s",
}
HARMS = {
    "array_nulls",
    "lock_timeout",
    "transaction_timeout",
    "wal_receiver_timeout",
    "wal_sender_timeout",
    "xmloption",
}
DIFFERING = {
    "array_nulls",
    "datestyle",
    "lock_timeout",
    "max_connections",
    "max_prepared_transactions",
    "session_replication_role",
    "statement_timeout",
    "timezone",
    "xmloption",
}


@pytest.fixture(scope="module")
def pair(destination_cluster: EmbeddedServer, cluster_directory: Path) -> Iterator[Pair]:
    """Two servers of the destination's version that a test may set up as it likes."""
    one, other = (
        EmbeddedServer(destination_cluster.bin_dir, cluster_directory / name, settings=SETTINGS)
        for name in ("one", "other")
    )
    with one, other:
        yield one, other


@pytest.fixture
def urls(pair: Pair, new_database: Callable[..., str]) -> Iterator[list[str]]:
    """A database on each of the two; their servers are afterwards as they were."""
    yield [new_database(server, HOSTILE) for server in pair]
    for server in pair:
        execute(
            server.url("postgres"),
            "alter system reset all",
            "alter role postgres reset all",
            "alter role all reset all",
        )
        reload(server)
        if wait_for(server, "select true from pg_settings where pending_restart", patience=0):
            server.restart()


def set_up(server: EmbeddedServer, settings: dict[str, str]) -> set[str]:
    """Give a running server those of the settings that it knows; return their names."""
    with connect(server.url("postgres")) as connection:
        known = {name for (name,) in connection.execute("select lower(name) from pg_settings")}
        for name in settings.keys() & known:
            statement = sql.SQL("alter system set {} = {}").format(sql.Identifier(name), settings[name])
            connection.execute(statement)
    return settings.keys() & known


def reload(server: EmbeddedServer) -> None:
    with connect(server.url("postgres")) as connection:
        connection.execute("select pg_reload_conf()")
        before = connection.execute("select pg_conf_load_time()").fetchone()
    deadline = time.monotonic() + 10
    while True:
        with connect(server.url("postgres")) as connection:
            if connection.execute("select pg_conf_load_time()").fetchone() != before:
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def wait_for(server: EmbeddedServer, condition: str, *, patience: float = 10) -> bool:
    """Wait until a query answers true; without any patience return whether it does."""
    deadline = time.monotonic() + patience
    with connect(server.url("postgres")) as connection:
        while connection.execute(condition.encode()).fetchone() != (True,):
            if not patience:
                return False
            assert time.monotonic() < deadline, condition
            time.sleep(0.02)
    return True


def test_two_fresh_servers_have_no_finding(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    assert look(*urls).found == ()


def test_a_server_on_which_everything_is_set_wrong(
    pair: Pair, urls: list[str], source_database: str, look: Callable[..., Findings]
) -> None:
    crooked, url = pair[0], urls[0]
    known = set_up(crooked, CROOKED)
    crooked.restart()
    execute(source_database, *(f"create table t{n} (id int primary key, name text)" for n in range(250)))
    there, here = look(source_database, url), look(url, urls[1])
    limits = {"max_slot_wal_keep_size", "idle_replication_slot_timeout"} & known
    for found, side in ((here, "source"), (there, "destination")):
        assert found.of("slot_limits") == [("warn", side)] * len(limits)
        assert all(name in found.text("slot_limits") for name in limits)
        assert found.of("output_plugins") == [("block", side)] * ("output_plugin_libraries" in known)
        harms = HARMS & known
        assert sorted(found.of("stream_settings")) == [("block", side)] + [("warn", side)] * (len(harms) - 1)
        assert all(name in found.text("stream_settings") for name in harms)
    assert there.of("lock_table") == [("block", "destination")]
    assert there.of("read_only_defaults") == [("block", "destination")]
    assert {subject for _severity, subject in there.of("differing_settings")} >= DIFFERING
    repaired = ("slot_limits", "output_plugins", "stream_settings")
    here.repair(*repaired)
    there.repair(*repaired, "lock_table", "read_only_defaults", "differing_settings")
    crooked.restart()
    assert look(url, urls[1]).found == ()
    assert look(source_database, url).found == ()


def test_a_limit_of_slots_that_is_known_and_one_that_is_never_reached(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    set_up(pair[0], {"max_slot_wal_keep_size": "100GB"})
    reload(pair[0])
    enough = look(*urls)
    assert enough.of("slot_limits") == [("info", "source")]
    assert look(*urls, copy={"max_retained_wal": "10GB"}).of("slot_limits") == [("info", "source")]
    never = look(*urls, copy={"max_retained_wal": "200GB"})
    assert never.of("slot_limits") == [("warn", "source")]
    assert "copy.max_retained_wal (200 GB) is never reached" in never.text("slot_limits")
    enough.repair("slot_limits")
    reload(pair[0])
    assert look(*urls).of("slot_limits") == []


def test_settings_of_our_role_and_database(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    execute(
        urls[1],
        'alter role postgres in database "Da ""ta"" \'b" set lock_timeout = \'5s\'',
        'alter database "Da ""ta"" \'b" set xmloption = document',
        "alter role postgres set array_nulls = off",
        "alter role all set lock_timeout = '1h'",
    )
    # What does not reach the stream's processes, or is as good as none.
    execute(
        urls[0], "alter role postgres set statement_timeout = '1s'", "alter role all set lock_timeout = 0"
    )
    found = look(*urls)
    assert sorted(found.of("stream_settings")) == [("block", "destination")] + [("warn", "destination")] * 2
    assert "lock_timeout is 5s in role postgres in database" in found.text("stream_settings")
    found.repair("stream_settings")
    found = look(*urls)
    assert "lock_timeout is 1h in role all" in found.text("stream_settings"), "the next one counts now"
    found.repair("stream_settings")
    execute(urls[0], "alter role postgres reset all", "alter role all reset all")
    assert look(*urls).found == ()


def test_libraries_that_are_loaded_on_the_source_only(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    one, other = pair
    # One that is gone from the host by the time that somebody looks.
    library = next(one.bin_dir.parent.rglob("lo.so"))
    gone = one.data / "gone.so"
    gone.write_bytes(library.read_bytes())
    execute(
        urls[0],
        f"alter system set dynamic_library_path = '$libdir:{one.data}'",
        "alter system set shared_preload_libraries = pg_stat_statements, auto_explain, gone, pg_prewarm",
        "alter system set random_page_cost = 1.1",
    )
    execute(urls[1], "alter system set shared_preload_libraries = '$libdir/pg_prewarm'")
    one.restart()
    gone.unlink()
    other.restart()
    found = look(*urls)
    assert found.of("preloaded_libraries") == [("warn", "gone"), ("warn", "shared_preload_libraries")]
    assert found.fixes("preloaded_libraries")[0].startswith("install what brings gone")
    assert found.of("differing_settings") == [("info", "random_page_cost")]
    found.repair("preloaded_libraries", "differing_settings")
    other.restart()
    found = look(*urls)
    assert found.of("preloaded_libraries") + found.of("differing_settings") == [("warn", "gone")]


def test_how_much_a_difference_of_settings_matters() -> None:
    def weight(name: str, here: str, there: str, defaults: tuple[str, str] = ("x", "x")) -> str | None:
        rows = [
            {"value": value, "default": default}
            for value, default in zip((here, there), defaults, strict=True)
        ]
        return differing_settings.weight(name, *rows)

    assert weight("timezone", "Etc/UTC", "GMT") is None
    assert weight("timezone", "UTC", "Europe/Vienna") == "warn"
    assert weight("datestyle", "iso, mdy", "MDY, ISO") is None
    assert weight("lc_monetary", "C", "POSIX") is None
    assert weight("lc_monetary", "en_US.UTF-8", "en_US.utf8") is None
    assert weight("lc_monetary", "de_DE.UTF-8", "en_US.UTF-8") == "info"
    assert weight("row_security", "on", "yes") is None
    assert weight("bytea_output", "escape", "hex", ("escape", "hex")) is None, "a new default"
    assert weight("max_connections", "100", "500") is None
    assert weight("max_connections", "500", "100") == "warn"
    assert weight("statement_timeout", "30s", "1min") is None
    assert weight("statement_timeout", "0", "1min") == "warn"
    assert weight("idle_in_transaction_session_timeout", "0", "10min") == "info"
    assert weight("jit", "on", "off", ("on", "on")) is None, "the source is as it comes"
    assert weight("jit", "off", "on", ("on", "on")) == "info"


def test_a_locale_that_is_written_in_another_way(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    execute(urls[0], "alter system set lc_monetary = 'POSIX'")
    execute(urls[1], "alter system set lc_monetary = 'C'")
    for server in pair:
        reload(server)
    assert look(*urls).of("differing_settings") == []


def test_known_faults_of_minor_releases(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    config = load(project(source_database, destination_database).path).config
    with reading(config, None, ignore) as ctx:

        def faults(version: int) -> list[tuple[str, str, str]]:
            server = replace(ctx.source_server, version=version, version_text=f"{version // 10000}.x")
            found = server_versions.check(replace(ctx, source_server=server))
            # A source that is newer than the destination is another finding.
            return [(f.severity, f.subject, f.fix) for f in found if f.severity == "warn"]

        for version, wanted in ((130022, ""), (140001, "14.19"), (150012, "15.14"), (160009, "16.10")):
            assert faults(version) == (
                [("warn", "source", f"update the source to {wanted} or a later {wanted[:2]}")]
                if wanted
                else []
            )
        assert faults(120011) == [], "no later 12 helps"
        assert len(faults(100020)) == 1
        assert faults(170006) == faults(180000) == []


def test_commits_that_would_wait_for_standbys_and_standbys_that_are_there(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    one = pair[0]
    with closing(
        psycopg.connect(one.url("postgres"), replication="true", application_name="Standby 1")
    ) as standby:
        position = standby.pgconn.exec_(b"IDENTIFY_SYSTEM").get_value(0, 2)
        assert position is not None
        begun = standby.pgconn.exec_(b"START_REPLICATION PHYSICAL " + position)
        assert begun.status == psycopg.pq.ExecStatus.COPY_BOTH
        # What a standby answers: where it has written, flushed and replayed (documentation 53.4).
        high, low = (int(part, 16) for part in position.split(b"/"))
        standby.pgconn.put_copy_data(struct.pack("!cQQQQB", b"r", *[high << 32 | low] * 3, 0, 0))
        standby.pgconn.flush()
        wait_for(one, "select count(*) = 1 from pg_stat_replication where state = 'streaming'")
        found = look(*urls)
        assert found.of("standbys") == [("info", "source")]
        assert "Standby 1" in found.text("standbys")
        set_up(one, {"synchronous_standby_names": 'any 2 ("Standby 1", s2)'})
        reload(one)
        wait_for(one, "select count(*) = 1 from pg_stat_replication where sync_state = 'quorum'")
        found = look(*urls)
        assert found.of("synchronous_standbys") == [("block", "source")]
        assert "asks for 2 and 1 is connected" in found.text("synchronous_standbys")
        set_up(one, {"synchronous_standby_names": '"Standby 1"'})
        reload(one)
        wait_for(one, "select count(*) = 1 from pg_stat_replication where sync_state = 'sync'")
        assert look(*urls).of("synchronous_standbys") == []
    wait_for(one, "select count(*) = 0 from pg_stat_replication")
    found = look(*urls)
    assert found.of("standbys") == []
    assert found.of("synchronous_standbys") == [("block", "source")]
    found.repair("synchronous_standbys")
    reload(one)
    assert look(*urls).of("synchronous_standbys") == []


def test_room_on_the_destinations_disk(pair: Pair, urls: list[str], look: Callable[..., Findings]) -> None:
    execute(urls[0], "create table t (id int primary key)", "create table small (id int primary key)")
    with connect(urls[0]) as connection:
        (path,) = connection.execute("select pg_relation_filepath('t')").fetchone() or ("",)
    # A part of the table's file that has a size and takes no room.
    part = pair[0].data / f"{path}.1"
    try:
        for size, severity in ((2**43, "block"), (0, None)):
            with part.open("wb") as file:
                file.truncate(size)
            found = look(*urls).of("disk_space")
            assert found == ([(severity, "destination")] if severity else [])
            assert look(*urls, tables={"include": ["public.small"]}).of("disk_space") == []
    finally:
        part.unlink()


def test_transactions_that_the_slots_creation_would_wait_for(
    pair: Pair, urls: list[str], look: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = pair[0].url("postgres")
    hurry = {"copy": {"lock_timeout": "1ms", "lock_attempts": 1}}
    for side, url in (("source", elsewhere), ("destination", urls[1])):
        with closing(psycopg.connect(url, application_name='It\'s "mine"')) as writer:
            writer.execute("select txid_current()")
            pid = writer.info.backend_pid
            assert look(*urls).of("old_transactions") == [], "it may well end in time"
            # In seconds: what migrator would wait is less than the transaction is old, then much less.
            hurried = look(*urls, **hurry)
            assert hurried.of("old_transactions") == [("block", f"{side}: pid {pid}")]
            assert "application It's" in hurried.text("old_transactions")
            one_way = look(*urls, **hurry, cutover={"reverse": "off"})
            assert len(one_way.of("old_transactions")) == (side == "source")
            with monkeypatch.context() as patched:
                patched.setattr(old_transactions, "LASTING", 10**6)
                assert look(*urls, **hurry).of("old_transactions") == [("warn", f"{side}: pid {pid}")]
            hurried.repair("old_transactions")
            wait_for(pair[side != "source"], f"select count(*) = 0 from pg_stat_activity where pid = {pid}")
        assert look(*urls, **hurry).of("old_transactions") == []
    with closing(psycopg.connect(urls[0])) as reader:
        reader.execute("select from pg_class")
        assert look(*urls, **hurry).of("old_transactions") == []
    slot = Names.of("move", HOSTILE, HOSTILE).slot
    execute(urls[0], f"select pg_create_logical_replication_slot('{slot}', 'pgoutput')")
    with closing(psycopg.connect(urls[0])) as writer:
        writer.execute("select txid_current()")
        pid = writer.info.backend_pid
        late = look(*urls, **hurry).of("old_transactions")
        assert late == [("warn", f"source: pid {pid}")], "the slot is there already"


def test_prepared_transactions_of_both_servers(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    for url in (pair[0].url("postgres"), urls[1]):
        with connect(url) as connection:
            connection.execute("begin; select txid_current(); prepare transaction 'it''s \\ mine'")
    found = look(*urls)
    assert found.of("prepared_transactions") == [("block", "it's \\ mine")] * 2
    assert look(*urls, cutover={"reverse": "auto"}).of("prepared_transactions")[1][0] == "warn"
    fixes = sorted(found.fixes("prepared_transactions"))
    assert fixes[0].startswith('on the destination, in database "Da ""ta"" \'b": commit prepared ')
    assert fixes[1].startswith('on the source, in database "postgres": commit prepared ')
    for url, fix in zip((urls[1], pair[0].url("postgres")), fixes, strict=True):
        execute(url, fix.partition("; or ")[2])
    assert look(*urls).of("prepared_transactions") == []


def test_numbers_of_transactions_that_run_short(
    pair: Pair, urls: list[str], look: Callable[..., Findings], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = pair[0]
    execute(
        urls[0],
        'create table "Lar""ge" (id int primary key, name text)',
        "create table small (id int primary key)",
        # As if they held so much, which is all that is looked at.
        "update pg_class set relpages = 200000 where relname = 'Lar\"ge'",
        "select pg_create_physical_replication_slot('theirs')",
    )
    # A slot that holds rows back is a standby's that has told its oldest.
    with closing(psycopg.connect(one.url("postgres"))) as reader, connect(urls[0]) as connection:
        reader.execute("set default_transaction_isolation = 'repeatable read'")
        reader.commit()
        reader.execute("select from pg_class")
        pid = reader.info.backend_pid
        connection.execute(BURN)
        found = look(*urls)
        assert found.of("transaction_ids") == [("warn", f"pid {pid}"), ("warn", 'public."Lar""ge"')]
        assert "1.5 GB" in found.text("transaction_ids")
        found.repair("transaction_ids")
        wait_for(one, f"select count(*) = 0 from pg_stat_activity where pid = {pid}")
        # With the session gone the vacuum can freeze what it could not before.
        connection.execute("update pg_class set relpages = 200000 where relname = 'Lar\"ge'")
        look(*urls).repair("transaction_ids")
        connection.execute("update pg_class set relpages = 200000 where relname = 'Lar\"ge'")
        assert look(*urls).of("transaction_ids") == []
        # What would be thousands of millions on a server that is in trouble.
        for last, severity in ((10**9, "warn"), (90_000, "block")):
            monkeypatch.setattr(transaction_ids, "OLD", 90_000)
            monkeypatch.setattr(transaction_ids, "LAST", last)
            assert (severity, "database template0") in look(*urls).of("transaction_ids")
        connection.execute("select pg_drop_replication_slot('theirs')")


# Each block with a handler takes a number of its own when it writes. So many are more than 95 % of
# autovacuum_freeze_max_age, and less than all, at which a server vacuums although it is told not to.
BURN = """
do $$
begin
    create temporary table burnt (id int);
    for n in 1..96500 loop
        begin
            insert into burnt values (1);
        exception when division_by_zero then
            null;
        end;
    end loop;
end $$
"""


def test_slots_of_others(pair: Pair, urls: list[str], look: Callable[..., Findings]) -> None:
    execute(
        urls[0],
        "select pg_create_logical_replication_slot('debezium', 'test_decoding')",
        "select pg_create_logical_replication_slot('pg_4711_sync_4712_7123456789', 'pgoutput')",
        "select pg_create_physical_replication_slot('standby_gone', true)",
        "select pg_create_physical_replication_slot('standby_new')",
    )
    with connect(pair[0].url("postgres")) as connection:
        connection.execute("select pg_create_logical_replication_slot('of_another', 'test_decoding')")
    found = look(*urls)
    assert found.of("other_slots") == [("warn", "debezium"), ("warn", "pg_4711_sync_4712_7123456789")]
    assert "waits for another consumer, which stays behind" in found.text("other_slots")
    found.repair("other_slots")
    for _segment in range(3):
        execute(urls[0], "select pg_logical_emit_message(false, '', '')", "select pg_switch_wal()")
    kept = look(*urls)
    subjects = ["debezium", "of_another", "standby_gone"]
    assert kept.of("other_slots") == [("warn", subject) for subject in subjects]
    assert "nobody reads from slot debezium, and keeps " in kept.text("other_slots")
    kept.repair("other_slots")
    assert look(*urls).of("other_slots") == []
    execute(urls[0], "select pg_drop_replication_slot('standby_new')")


def test_what_brings_rows_into_the_destination_or_carries_them_on(
    urls: list[str], look: Callable[..., Findings]
) -> None:
    execute(
        urls[1],
        'create publication "All ""of it" for all tables',
        "create publication none",
        'create subscription "Su""b" connection \'host=nowhere.example\' publication p'
        " with (connect = false)",
    )
    with connect(urls[1]) as connection:
        (version,) = connection.execute("select current_setting('server_version_num')::int").fetchone() or (
            0,
        )
        if version >= 150000:
            connection.execute('create publication "of schemas" for tables in schema public')
        connection.execute('alter subscription "Su""b" enable')
        found = look(*urls)
        found.repair("destination_subscriptions")
        connection.execute('alter subscription "Su""b" set (slot_name = none)')
    wanted = [("block", '"Su""b"'), ("warn", '"All ""of it"')]
    assert found.of("destination_subscriptions") == wanted + [("warn", '"of schemas"')] * (version >= 150000)
    assert look(*urls).of("destination_subscriptions") == []


def test_servers_that_do_not_let_each_other_in(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    hba = pair[0].data / "pg_hba.conf"
    text = hba.read_text()
    execute(urls[0], 'create role "Stran""ger" login replication')
    parts = f"host=127.0.0.1 port={pair[0].port} dbname='Da \"ta\" \\'b' user='Stran\"ger'"
    try:
        hba.write_text('host all "Stran""ger" all reject\nhost replication all all trust\n' + text)
        reload(pair[0])
        led = {"source_conninfo": parts + " password=s3cr3t"}
        found = look(*urls, replication=led)
        assert found.of("connections") == [("block", "destination")]
        assert found.of("stored_passwords") == [("info", "destination")]
        assert "s3cr3t" not in repr(found.found)
        assert "pg_hba.conf rejects" in found.text("connections")
        (fix,) = found.fixes("connections")
        rule = fix.splitlines()[0].removeprefix("in the source's pg_hba.conf: ")
        assert rule == 'host "Da ""ta"" \'b" "Stran""ger" 127.0.0.1/32 scram-sha-256'
        hba.write_text(rule.replace("scram-sha-256", "trust") + "\n" + hba.read_text())
        reload(pair[0])
        assert look(*urls, replication=led).of("connections") == []
        assert look(*urls, replication={"source_conninfo": parts}).found == ()
    finally:
        hba.write_text(text)
        reload(pair[0])
        execute(urls[0], 'drop role "Stran""ger"')


def test_servers_that_do_not_reach_each_other(
    pair: Pair, urls: list[str], look: Callable[..., Findings]
) -> None:
    nowhere = {"destination_conninfo": "host=127.0.0.1 port=1 dbname=x password=s3cr3t"}
    for reverse, wanted in (("required", [("block", "source")]), ("auto", [("warn", "source")]), ("off", [])):
        found = look(*urls, replication=nowhere, cutover={"reverse": reverse})
        assert found.of("connections") == wanted
        assert "s3cr3t" not in repr(found.found)
        if wanted:
            assert "destination (127.0.0.1:1/x)" in found.text("connections")
            assert "[replication] destination_conninfo" in found.fixes("connections")[0]
    names = Names.of("move", HOSTILE, HOSTILE)
    execute(
        urls[0],
        f"create publication {names.publication}",
        f"comment on publication {names.publication} is '{names.mark}'",
    )
    assert look(*urls, replication=nowhere).of("connections") == [], "the steps that subscribe try again"
    execute(urls[0], f"drop publication {names.publication}")
    # From another address than the server's own, a loopback address does not lead to the same machine.
    remote = urls[1].replace("@127.0.0.1:", "@127.0.0.2:")
    assert look(urls[0], remote).of("connections") == [("warn", "destination")]
    led = {"source_conninfo": f"host=127.0.0.2 port={pair[0].port} dbname='Da \"ta\" \\'b' user=postgres"}
    assert look(urls[0], remote, replication=led).of("connections") == [("warn", "destination")]
    with connect(urls[0]) as connection:
        assert connection.execute("select from pg_subscription").fetchall() == []
        assert connection.execute("select from pg_replication_origin").fetchall() == []


def test_lines_that_a_server_cannot_read(pair: Pair, urls: list[str], look: Callable[..., Findings]) -> None:
    data = pair[0].data
    before = {name: (data / name).read_text() for name in ("pg_hba.conf", "pg_ident.conf")}
    try:
        for name, text in before.items():
            (data / name).write_text(f"{text}half-a-line\n")
        found = look(*urls).of("hba_errors")
        files = [name for name in before if name == "pg_hba.conf" or pair[0].major >= 15]
        lines = [f"source: {data / name}:{before[name].count(chr(10)) + 1}" for name in files]
        assert found == [("warn", line) for line in lines]
    finally:
        for name, text in before.items():
            (data / name).write_text(text)
    assert look(*urls).of("hba_errors") == []
