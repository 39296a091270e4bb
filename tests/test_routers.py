"""Routers lead clients to and fro: real pgbouncers and haproxys between a client and two real servers."""

from __future__ import annotations

import os
import re
import sys
import threading
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator import fences, routers
from migrator.config import Config, Duration, MigrationSection, ServerSection
from migrator.config_router import (
    CommandRouterSection,
    HaproxyRouterSection,
    PgbouncerRouterSection,
    RouterSection,
)
from migrator.context import BACK, FORWARD, Roles, WriteContext
from migrator.demo.transactions import create_ledger, ledger_transaction
from migrator.diff.snapshots import Snapshots
from migrator.errors import Declined, GateClosed, MigratorError, TimedOut, ToolFailed, VerifyFailed
from migrator.pg.names import Names
from migrator.pg.pooler import who_answers
from migrator.pg.server import Server
from migrator.pg.session import ReadSession, WriteSession
from migrator.routers import files
from migrator.routers.pgbouncer_ini import Target, retarget, target_of
from tests.fixtures.daemons import READ_ONLY_ADMIN, Haproxy, Pgbouncer
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random
    from uuid import UUID

    from migrator.demo.servers import EmbeddedServer
    from migrator.demo.transactions import Connection
    from migrator.demo.writer import Writer
    from tests.fixtures.project import Project


@contextmanager
def context(source: str, destination: str, kind: str, **options: Any) -> Iterator[WriteContext]:
    """Give what a step would get, with the router's options."""
    urls = {"source": source, "destination": destination}
    config = Config(
        migration=MigrationSection(name="shop"),
        source=ServerSection(url=source),
        destination=ServerSection(url=destination),
        router=RouterSection(**options),
    )
    with ExitStack() as stack:

        def opened(kind: Any, side: str) -> Any:
            return stack.enter_context(kind.open(urls[side], side=side, application="migrator-test"))

        readers = {side: opened(ReadSession, side) for side in urls}
        servers = {side: Server.read(readers[side], urls[side]) for side in urls}
        router = routers.load(kind)
        stack.callback(router.release)
        yield WriteContext(
            source=readers["source"],
            destination=readers["destination"],
            source_server=servers["source"],
            destination_server=servers["destination"],
            names=Names.of("shop", *(server.database for server in servers.values())),
            config=config,
            router=router,
            fence=fences.load("lock"),
            write_source=opened(WriteSession, "source"),
            write_destination=opened(WriteSession, "destination"),
            snapshots=Snapshots(),
        )


class Between:
    """Two databases with a ledger each, and what leads from a client to one of them."""

    def __init__(self, source: str, destination: str) -> None:
        self.source, self.destination = source, destination
        for url in (source, destination):
            create_ledger(url)

    @contextmanager
    def pgbouncer(self, *pgbouncers: Pgbouncer, **options: Any) -> Iterator[WriteContext]:
        given = {
            "admin_urls": tuple(each.admin_url() for each in pgbouncers),
            "config_file": tuple(str(each.ini) for each in pgbouncers),
            "database": pgbouncers[0].name,
            "timeout": Duration(2),
            **options,
        }
        with context(
            self.source, self.destination, "pgbouncer", pgbouncer=PgbouncerRouterSection(**given)
        ) as ctx:
            yield ctx

    @contextmanager
    def haproxy(self, *urls: str, **options: Any) -> Iterator[WriteContext]:
        given = {
            "backend": "shop",
            "source_server": "old",
            "destination_server": "new",
            "probe_urls": urls,
            "timeout": Duration(2),
            **options,
        }
        with context(self.source, self.destination, "haproxy", haproxy=HaproxyRouterSection(**given)) as ctx:
            yield ctx

    def rows(self, side: str) -> int:
        with connect(getattr(self, side)) as connection:
            row = connection.execute("select count(*) from ledger").fetchone()
        assert row is not None
        return int(row[0])


@pytest.fixture
def between(
    source_cluster: EmbeddedServer, destination_cluster: EmbeddedServer, new_database: Any
) -> Between:
    # The names differ, so that dbname has to change too; and pgbouncer must be told them in quotes.
    return Between(
        new_database(source_cluster, "the old 'shop'"), new_database(destination_cluster, "the new shop")
    )


def pooled(connection: Connection, token: UUID, dice: Random) -> None:
    """Write a token as a client of a pooler in transaction mode does: without prepared statements."""
    connection.prepare_threshold = None
    ledger_transaction(connection, token, dice)


def hand_over(ctx: WriteContext, roles: Roles) -> None:
    """Do what the switchover asks of a router, in its order."""
    ctx.router.probe(ctx, roles)
    ctx.router.prepare(ctx, roles)
    ctx.router.pause(ctx, roles, 5)
    ctx.router.close(ctx, roles)
    ctx.router.switch(ctx, roles, lambda: None)


def refusal(ctx: WriteContext, kind: type[MigratorError] = GateClosed, roles: Roles = FORWARD) -> str:
    with pytest.raises(kind) as raised:
        ctx.router.probe(ctx, roles)
    assert raised.value.hint
    return raised.value.message


# ---- pgbouncer


def test_clients_of_two_pgbouncers_go_to_the_destination_and_back_without_an_error(
    between: Between, pgbouncers: Callable[..., Pgbouncer], writer: Callable[..., Writer]
) -> None:
    both = [pgbouncers(between.source), pgbouncers(between.source)]
    before = [each.ini.read_bytes() for each in both]
    writers = [writer(each.url, pooled, sessions=4, per_second=300, seed=n) for n, each in enumerate(both)]
    with between.pgbouncer(*both) as ctx:
        for roles in (FORWARD, BACK):
            for each in writers:
                each.wait_for(30)
            hand_over(ctx, roles)
            stayed = between.rows(roles.publisher)
            for each in writers:
                each.wait_for(30)
            assert between.rows(roles.publisher) == stayed
        assert not any(each.is_paused for each in both)
        for each in both:
            assert ("server_login_retry", "15") in {row[:2] for row in each.console("SHOW CONFIG")}
    for each in writers:
        each.stop()
        assert not each.errors
        assert each.longest_pause < 1
    assert between.rows("source") + between.rows("destination") == sum(len(w.commits) for w in writers)
    assert [each.ini.read_bytes() for each in both] == before
    for each in both:
        kept = {path.name for path in each.directory.iterdir()}
        assert kept == {"pgbouncer.ini", "users", "log"} | {
            f"pgbouncer.ini.before-{side}" for side in ("source", "destination")
        }
        assert (each.directory / "pgbouncer.ini.before-destination").read_bytes() == before[both.index(each)]


def test_a_client_without_a_name_is_not_taken_for_ours_after_a_proof(
    between: Between, pgbouncers: Callable[..., Pgbouncer]
) -> None:
    one = pgbouncers(between.source)
    with between.pgbouncer(one) as ctx:
        ctx.router.probe(ctx, FORWARD)
        # It gets the very session that the proof went through, with what that has set.
        with psycopg.connect(one.url, autocommit=True) as client:
            name = "select current_setting('application_name')"
            assert client.execute(name).fetchone() != (ctx.names.application,)


def test_pause_holds_a_client_and_resume_lets_it_go(
    between: Between, pgbouncers: Callable[..., Pgbouncer]
) -> None:
    one = pgbouncers(between.source)
    with between.pgbouncer(one) as ctx, psycopg.connect(one.url, autocommit=True) as client:
        ctx.router.resume(ctx, FORWARD)
        ctx.router.probe(ctx, FORWARD)
        begun = time.monotonic()
        ctx.router.pause(ctx, FORWARD, 5)
        ctx.router.pause(ctx, FORWARD, 5)
        assert time.monotonic() - begun < 1
        assert "is paused" in refusal(ctx)
        held = threading.Thread(target=client.execute, args=["select 1"])
        held.start()
        held.join(0.3)
        assert held.is_alive()
        for _ in range(2):
            ctx.router.resume(ctx, FORWARD)
        held.join(5)
        assert not held.is_alive()
        ctx.router.probe(ctx, FORWARD)


def test_a_long_transaction_bounds_the_pause_is_named_and_everything_is_served_again(
    between: Between, pgbouncers: Callable[..., Pgbouncer], writer: Callable[..., Writer]
) -> None:
    both = [pgbouncers(between.source), pgbouncers(between.source)]
    clients = [writer(each.url, pooled, seed=n) for n, each in enumerate(both)]
    with between.pgbouncer(*both) as ctx, psycopg.connect(both[1].url) as blocker:
        blocker.execute("insert into ledger (token) values (md5(random()::text)::uuid) -- nightly report")
        row = blocker.execute("select pg_backend_pid() -- nightly report").fetchone()
        assert row is not None
        begun = time.monotonic()
        with pytest.raises(TimedOut) as raised:
            ctx.router.pause(ctx, FORWARD, 0.4)
        assert time.monotonic() - begun < 1.5
        assert f"pid {row[0]} " in raised.value.message
        assert "nightly report" in raised.value.message
        assert not any(each.is_paused for each in both)
        for each in clients:
            each.wait_for(10)
        blocker.rollback()
        # The consoles that were left waiting are opened anew.
        hand_over(ctx, FORWARD)
        for each in clients:
            each.wait_for(10)
            assert not each.errors
    assert between.rows("destination") >= 20


def test_what_fails_while_switching_leaves_the_file_and_the_clients_as_they_were(
    between: Between, pgbouncers: Callable[..., Pgbouncer], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = (pgbouncers(between.source, settings="server_login_retry = 1") for _ in range(2))
    before = one.ini.read_bytes(), other.ini.read_bytes()
    with between.pgbouncer(one, other, destination_address="127.0.0.1:1") as ctx:
        hand_over_fails(ctx, "does not come to the destination")
        assert (one.ini.read_bytes(), other.ini.read_bytes()) == before
        # The source, fenced by now, answers again.
        ctx.router.probe(ctx, FORWARD)
    with between.pgbouncer(one, other) as ctx:
        real = files.put

        def fails(path: Path) -> None:
            if path == other.ini:
                raise OSError("no space left on device")
            real(path)

        monkeypatch.setattr(files, "put", fails)
        hand_over_fails(ctx, "no space left")
        assert (one.ini.read_bytes(), other.ini.read_bytes()) == before
        # Nothing was let go, so that no client was refused: the same command goes on.
        assert one.is_paused
        assert other.is_paused
        monkeypatch.undo()
        ctx.router.switch(ctx, FORWARD, lambda: None)
        ctx.router.switch(ctx, FORWARD, lambda: None)
        assert not one.is_paused
        assert target_of(other.ini.read_text(), "shop").database == "the new shop"
        backups = [each.with_name("pgbouncer.ini.before-destination") for each in (one.ini, other.ini)]
        assert tuple(each.read_bytes() for each in backups) == before


def hand_over_fails(ctx: WriteContext, why: str) -> None:
    with pytest.raises(ToolFailed, match=re.escape(why)) as raised:
        hand_over(ctx, FORWARD)
    assert "its configuration is as it was" in raised.value.message
    assert "stays fenced" in raised.value.hint


def test_a_reload_that_pgbouncer_refuses_is_noticed(
    between: Between, pgbouncers: Callable[..., Pgbouncer]
) -> None:
    one = pgbouncers(between.source)
    with between.pgbouncer(one, timeout=Duration(0.5)) as ctx:
        ctx.router.probe(ctx, FORWARD)
        one.ini.write_bytes(b"no such setting\n" + one.ini.read_bytes())
        broken = one.ini.read_bytes()
        with pytest.raises(ToolFailed, match=r"still leads to|RELOAD"):
            ctx.router.switch(ctx, FORWARD, lambda: None)
        assert one.ini.read_bytes() == broken


def test_a_pgbouncer_that_cannot_do_all_of_it_is_found_before_the_fence(
    between: Between, pgbouncers: Callable[..., Pgbouncer], tmp_path: Path
) -> None:
    one = pgbouncers(between.source, auth_type="scram-sha-256")
    trusting = pgbouncers(between.source)
    cases: list[tuple[dict[str, Any], type[MigratorError], str]] = [
        ({"admin_urls": (one.admin_url(password="wrong"),)}, MigratorError, "cannot be reached"),
        ({"admin_urls": ("postgresql://x@127.0.0.1:1/pgbouncer",)}, MigratorError, "cannot be reached"),
        ({"admin_urls": (trusting.admin_url(READ_ONLY_ADMIN),)}, GateClosed, "admin access needed"),
        ({"database": "nosuch"}, GateClosed, "no line for 'nosuch'"),
        ({"config_file": str(tmp_path / "none.ini")}, GateClosed, "cannot be read"),
        ({"probe_urls": (f"{trusting.url}_not",)}, VerifyFailed, "does not come to the source"),
    ]
    for options, kind, said in cases:
        with between.pgbouncer(trusting, **options) as ctx:
            assert said in refusal(ctx, kind), options
    copied = tmp_path / "copied.ini"
    copied.write_text(trusting.ini.read_text().replace("127.0.0.1 port", "127.0.0.2 port"))
    with between.pgbouncer(trusting, config_file=str(copied)) as ctx:
        assert "its file to 127.0.0.2" in refusal(ctx)
        # It leads to the source, so that there is nothing to lead back.
    with between.pgbouncer(trusting) as ctx:
        assert "it comes to source, database" in refusal(ctx, VerifyFailed, BACK)


def test_an_admins_password_opens_the_console_and_is_not_shown(
    between: Between, pgbouncers: Callable[..., Pgbouncer]
) -> None:
    one = pgbouncers(between.source, auth_type="scram-sha-256")
    client = one.url.replace("postgres@", "postgres:it%27s%20secret@")
    with between.pgbouncer(one, probe_urls=(client,)) as ctx:
        hand_over(ctx, FORWARD)
        assert "secret" not in repr(ctx.config)
    with between.pgbouncer(one, probe_urls=(client.replace("secret", "geheim"),)) as ctx:
        assert "geheim" not in refusal(ctx, VerifyFailed, BACK)


def test_a_file_that_is_replaced_keeps_its_owner_mode_and_link(tmp_path: Path) -> None:
    real = tmp_path / "etc" / "real.ini"
    real.parent.mkdir()
    real.write_bytes(b"caf\xe9\r\n")
    real.chmod(0o604)
    if os.geteuid() == 0:
        os.chown(real, 65534, 65534)
    link = tmp_path / "pgbouncer.ini"
    link.symlink_to(real)
    owner = real.stat().st_uid, real.stat().st_gid
    files.require_replaceable(link)
    files.stage(link, files.read(link) + "more", backup="old")
    assert real.read_bytes() == b"caf\xe9\r\n"
    files.put(link)
    files.settle(link)
    assert link.is_symlink()
    assert real.read_bytes() == b"caf\xe9\r\nmore"
    assert real.with_name("old").read_bytes() == b"caf\xe9\r\n"
    for path in (real, real.with_name("old")):
        assert path.stat().st_mode & 0o777 == 0o604
        assert (path.stat().st_uid, path.stat().st_gid) == owner
    assert {path.name for path in real.parent.iterdir()} == {"real.ini", "old"}


# ---- the line in pgbouncer's file

NAMES = st.from_regex(r'[A-Za-z0-9_.*-]{1,12}|[^"\x00\r\n\ud800-\udfff]{1,12}', fullmatch=True)
VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r\n"), max_size=12)
TARGETS = st.builds(Target, VALUES, st.integers(1, 65535).map(str), VALUES.filter(bool))
OTHER_LINES = st.lists(
    st.sampled_from(
        [
            "",
            "; shop = host=commented",
            "# [databases]",
            "  other = host=1.2.3.4 port=1 dbname='a = b'",
            "* = host=elsewhere",
            "%include more.ini",
            "odd line\t",
            "x=connect_query='select ''host=no'''\r",
        ]
    ),
    max_size=4,
)


def written(value: str) -> str:
    return "'{}'".format(value.replace("'", "''"))


@given(
    name=NAMES,
    now=TARGETS,
    wanted=TARGETS,
    before=OTHER_LINES,
    after=OTHER_LINES,
    others=st.sampled_from(["", " pool_size=7", " auth_user = 'a b' connect_query='host=''x'' port=2'"]),
)
def test_one_line_changes_in_three_places_and_everything_else_stays(
    name: str, now: Target, wanted: Target, before: list[str], after: list[str], others: str
) -> None:
    key = name if re.fullmatch(r"[A-Za-z0-9_.*-]+", name) else f'"{name}"'
    if name in {"other", "*", "x"}:
        return
    pairs = f"host={written(now.host)}{others} port={now.port} dbname = {written(now.database)}"
    head, tail = ["[databases]", *before], [*after, "[pgbouncer]", f"{key} = host=not this one", ""]
    text = "\n".join([*head, f"{key} = {pairs}  ", *tail])
    assert target_of(text, name) == now
    changed = retarget(text, name, wanted)
    assert target_of(changed, name) == wanted
    lines = changed.split("\n")
    assert lines[: len(head)] == head
    assert lines[len(head) + 1 :] == tail
    assert others in lines[len(head)]
    assert lines[len(head)].endswith("  ")
    assert retarget(changed, name, wanted) == changed
    # Back it is the same but for how the values are quoted.
    assert retarget(text, name, now) == text
    assert target_of(retarget(changed, name, now), name) == now


def test_what_an_entry_leaves_out_is_pgbouncers_default() -> None:
    text = "[databases]\nshop = user=app\r\n"
    assert target_of(text, "shop") == Target("", "5432", "shop")
    assert retarget(text, "shop", Target("h", "5432", "shop")) == "[databases]\nshop = user=app host=h\r\n"
    assert retarget("shop=", "shop", Target("h", "1", "s")) == "shop= host=h port=1 dbname=s"


def test_a_line_that_is_elsewhere_is_refused_with_where_it_may_be() -> None:
    text = "[databases]\n%include /etc/pgbouncer/shop.ini\n[pgbouncer]\nshop = host=x\n"
    with pytest.raises(GateClosed, match=r"%include /etc/pgbouncer/shop\.ini"):
        target_of(text, "shop")
    assert target_of("shop = host=included", "shop").host == "included"


def test_pgbouncer_reads_what_is_written(between: Between, pgbouncers: Callable[..., Pgbouncer]) -> None:
    one = pgbouncers(between.source)
    strange = Target("/tmp/a dir", "77", "it's a 'shop' = host=x ;")
    files.replace(one.ini, retarget(files.read(one.ini), "shop", strange))
    one.console("RELOAD")
    (row,) = [row for row in one.console("SHOW DATABASES") if row[0] == "shop"]
    assert row[1:4] == (strange.host, int(strange.port), strange.database)


# ---- haproxy


def test_haproxy_leads_to_the_destination_and_back_and_shuts_the_old_sessions(
    between: Between,
    haproxys: Callable[..., Haproxy],
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
) -> None:
    # haproxy passes the database's name through: it is the same on both sides.
    shop = Between(new_database(source_cluster, "shop"), new_database(destination_cluster, "shop"))
    ports = source_cluster.port, destination_cluster.port
    both = [haproxys(*ports), haproxys(*ports)]
    urls = [each.url("shop") for each in both]
    sockets = tuple(str(each.socket) for each in both)
    with shop.haproxy(*urls, sockets=sockets) as ctx:
        for roles in (FORWARD, BACK):
            with psycopg.connect(urls[1], autocommit=True) as client:
                client.execute("insert into ledger (token) values (md5(random()::text)::uuid)")
                hand_over(ctx, roles)
                with pytest.raises(psycopg.OperationalError):
                    client.execute("select 1")
            ctx.router.switch(ctx, roles, lambda: None)
            server = ctx.server(roles.subscriber)
            for url in urls:
                who = who_answers(url, application="a test", timeout=2)
                assert who == (server.system_identifier, "shop")
    assert (shop.rows("source"), shop.rows("destination")) == (1, 1)


def test_a_haproxy_that_cannot_do_all_of_it_is_found_before_the_fence(
    haproxys: Callable[..., Haproxy],
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    new_database: Callable[..., str],
) -> None:
    shop = Between(new_database(source_cluster, "shop"), new_database(destination_cluster, "shop"))
    ports = source_cluster.port, destination_cluster.port
    one, weak = haproxys(*ports), haproxys(*ports, level="operator")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"sockets": (str(weak.socket),)}, "of level 'operator'"),
        ({"sockets": (str(one.socket) + "-not",)}, "cannot be reached"),
        ({"sockets": ("127.0.0.1:1",)}, "cannot be reached"),
        ({"backend": "nosuch"}, "backend nosuch"),
        ({"destination_server": "nosuch"}, "no server nosuch; it has old, new"),
        ({"source_server": "new", "destination_server": "old"}, "shop/new must be in state ready"),
        ({"probe_urls": (one.url("nosuch"),)}, "does not come to the source"),
    ]
    for options, said in cases:
        with shop.haproxy(one.url("shop"), **{"sockets": (str(one.socket),), **options}) as ctx:
            assert said in refusal(ctx, MigratorError), options


# ---- command and manual


def test_the_programs_are_told_which_way_it_goes_and_no_password(between: Between, tmp_path: Path) -> None:
    told = tmp_path / "told"
    program = tmp_path / "program.py"
    program.write_text(
        "import os, sys\n"
        "ours = {k: v for k, v in os.environ.items() if k.startswith('MIGRATOR_')}\n"
        f"print(sys.argv[1], ours, file=open({str(told)!r}, 'a'))\n"
        "sys.exit(int(sys.argv[2]))\n"
    )
    words = [sys.executable, str(program)]
    section = CommandRouterSection(
        disable_source=(*words, "close", "0"), re_route=(*words, "route", "0"), timeout=Duration(20)
    )
    with context(between.source, between.destination, "command", command=section) as ctx:
        for roles in (FORWARD, BACK):
            hand_over(ctx, roles)
            ctx.router.resume(ctx, roles)
        sides = {side: ctx.server(side).where for side in ("source", "destination")}  # type: ignore[arg-type]
    lines = told.read_text().splitlines()
    assert [line.split()[0] for line in lines] == ["close", "route"] * 2
    for line, (way, old, new) in zip(
        lines[::2], [("forward", "source", "destination"), ("back", "destination", "source")], strict=True
    ):
        for name, value in {
            "DIRECTION": way,
            "FROM": sides[old],
            "TO": sides[new],
            "SOURCE": sides["source"],
            "DESTINATION": sides["destination"],
            "MIGRATION": "shop",
        }.items():
            assert f"'MIGRATOR_{name}': {value!r}" in line
        assert "MIGRATOR_TO_PORT" in line
    failing = CommandRouterSection(re_route=(*words, "route", "3"))
    with context(between.source, between.destination, "command", command=failing) as ctx:
        ctx.router.close(ctx, BACK)
        with pytest.raises(ToolFailed, match="exit code 3") as raised:
            ctx.router.switch(ctx, BACK, lambda: None)
    assert "the destination stays fenced" in raised.value.hint


def test_the_operator_is_asked_about_the_side_that_takes_the_writes(between: Between) -> None:
    asked: list[str] = []
    with context(between.source, between.destination, "manual") as ctx:
        ctx.confirm = lambda question: bool(asked.append(question))
        for roles in (FORWARD, BACK):
            with pytest.raises(Declined, match=f"the {roles.publisher} stays fenced"):
                hand_over(ctx, roles)
            assert ctx.server(roles.subscriber).where in asked[-1]


# ---- the whole way


def test_a_migration_is_led_by_pgbouncer_and_a_router_that_cannot_is_a_closed_gate(
    project: Callable[..., Project],
    source_database: str,
    destination_database: str,
    pgbouncers: Callable[..., Pgbouncer],
    writer: Callable[..., Writer],
) -> None:
    create_ledger(source_database)
    one = pgbouncers(source_database, settings="server_login_retry = 1")
    options = {
        "admin_urls": [one.admin_url()],
        "config_file": str(one.ini),
        "database": "shop",
        "timeout": "2s",
    }
    made = project(
        source_database,
        destination_database,
        cutover={"router": "pgbouncer"},
        router={"pgbouncer": options},
    )
    made.run("plan", "--yes")
    made.run("--yes", "advance", "--to", "seq_synced")
    one.stop()
    refused = made.run("--yes", "advance", check=False)
    assert refused.returncode == 4
    assert "router pgbouncer" in refused.stderr
    one.start()
    # Whoever was killed between PAUSE and the fence has left this behind; the next run lets go.
    one.console("PAUSE shop")
    client = writer(one.url, pooled)
    made.run("--yes", "advance")
    client.wait_for(20)
    client.stop()
    with connect(destination_database) as connection:
        there = {row[0] for row in connection.execute("select token from ledger")}
    assert client.acknowledged <= there
    assert str(conninfo_port(destination_database)) in one.ini.read_text()


def conninfo_port(url: str) -> int:
    with connect(url) as connection:
        return connection.info.port
