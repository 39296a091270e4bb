"""Who is in the way of a switchover, and what one leaves that was cut short.

By default on the way back; with ``--switchovers`` in both directions.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from migrator.errors import ChecksBlocked, GateClosed, OutOfOrder, TimedOut
from migrator.switchover import procedure
from tests.fixtures import small
from tests.fixtures.road import STUBBORN, before, meeting_the_fence, run
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

ADD = "insert into products (title, price) values ('{}', 1)"
SLOTS = "select slot_name::text from pg_replication_slots where database = current_database()"
ENABLED = "select subenabled from pg_subscription where subname ~ '^migrator_'"
VACUUM_RUNS = """
select true
from pg_stat_activity a
join pg_locks l on l.pid = a.pid and l.relation = 'products'::regclass
where a.backend_type = 'autovacuum worker'
"""
# A worker that comes at once and stays for a minute.
HOT = """
alter table products set (
    autovacuum_vacuum_threshold = 0,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 100,
    autovacuum_vacuum_cost_limit = 1
)
"""
NEXT = "select nextval('invoice_numbers'), nextval('orders_id_seq')"


class Way:
    """A migration right before a switchover in one direction, or the other one."""

    def __init__(self, roads: Roads, *, back: bool, **cutover: Any) -> None:
        self.back = back
        self.road = roads("cutover" if back else "seq_synced", cutover={"attempts": 1, **cutover})
        self.publisher, self.subscriber = self.road.source, self.road.destination
        if back:
            self.publisher, self.subscriber = self.subscriber, self.publisher

    def go(self) -> None:
        """Switch over."""
        if self.back:
            self.road.rollback("seq_synced")
        else:
            self.road.advance("cutover")

    def refuse(self, kind: Any) -> str:
        """Switch over, which must fail with that error and leave the publisher open; return what it says."""
        with pytest.raises(kind) as raised:
            self.go()
        with psycopg.connect(self.publisher) as application:
            application.execute("update customers set name = 'writable' where id = 2")
            application.rollback()
        return str(raised.value)

    def complete(self) -> None:
        """The same command switches over; then it is completed."""
        self.go()
        with psycopg.connect(self.subscriber) as application:
            application.execute(ADD.format("moved"))
        self.road.complete()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """On the way back; with ``--switchovers`` forward, too."""
    every = metafunc.config.getoption("--switchovers")
    if "superuser" in metafunc.fixturenames:
        metafunc.parametrize("superuser", [False, True] if every else [False])
    if "way" in metafunc.fixturenames:
        metafunc.parametrize("way", [False, True] if every else [True], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest, road: Roads) -> Callable[..., Way]:
    """A factory: ``way(lock_timeout=…)`` gives a migration before its switchover."""
    return lambda **cutover: Way(road, back=request.param, **cutover)


def test_whoever_holds_a_lock_is_named_and_the_same_command_goes_on(
    way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = way(lock_timeout="200ms")
    with psycopg.connect(moved.publisher, application_name="the nightly job") as blocker:
        for statement in (ADD.format("idle"), "lock table products in share mode", "lock table ledger"):
            before(monkeypatch, procedure, "lock_and_fence", lambda said=statement: blocker.execute(said))
            said = moved.refuse(TimedOut)
            assert "the nightly job" in said
            assert f"pid {blocker.info.backend_pid} " in said
            blocker.rollback()
    moved.complete()


def test_a_prepared_transaction_is_named(way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch) -> None:
    moved = way(lock_timeout="200ms")
    with psycopg.connect(moved.publisher) as blocker, contextlib.ExitStack() as stack:

        def prepare() -> None:
            blocker.execute(ADD.format("prepared"))
            blocker.execute("prepare transaction 'two phases'")
            stack.callback(run, moved.publisher, "rollback prepared 'two phases'")

        before(monkeypatch, procedure, "lock_and_fence", prepare)
        assert "'two phases'" in moved.refuse(TimedOut)
        # Now it is in time for the checks or the gates.
        assert moved.refuse((ChecksBlocked, GateClosed))
    moved.complete()


def test_a_reader_that_never_ends_is_not_in_the_way(way: Callable[..., Way]) -> None:
    moved = way()
    # It is ended with the other old sessions when all is done.
    with contextlib.closing(psycopg.connect(moved.publisher)) as reader:
        reader.execute("set idle_in_transaction_session_timeout = 0")
        reader.execute("select count(*) from products")
        moved.go()


def test_an_autovacuum_gives_way(
    superuser: bool, way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = way()
    if not superuser:
        # Nobody else may shorten the deadlock_timeout.
        monkeypatch.setattr("migrator.pg.session.SUPERUSER", "false")

    def come() -> None:
        with connect(moved.publisher) as owner:
            owner.execute("alter system set autovacuum_naptime = '1s'")
            owner.execute("select pg_reload_conf()")
            try:
                small.wait_until(lambda: owner.execute(VACUUM_RUNS).fetchone(), "an autovacuum", timeout=40)
            finally:
                owner.execute("alter system reset autovacuum_naptime")
                owner.execute("select pg_reload_conf()")

    with connect(moved.publisher) as owner:
        owner.execute(HOT)
        owner.execute(
            "insert into products (title, price) select 'n' || n, n from generate_series(1, 30000) n"
        )
        owner.execute("update products set price = price + 1")
    before(monkeypatch, procedure, "lock_and_fence" if superuser else "end_autovacuums", come)
    moved.go()


def test_an_application_that_locks_in_another_order_is_never_the_victim_either_way(
    way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = way(attempts=3, lock_timeout="2s")
    with meeting_the_fence(moved.publisher, monkeypatch) as failed:
        moved.go()
    assert failed == []
    with connect(moved.subscriber) as there:
        assert there.execute("select price from products where id = 1").fetchone() == (7,)


def test_numbers_taken_during_the_fence_are_not_given_again(
    way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = way()
    taken: list[tuple[int, ...]] = []
    with connect(moved.publisher, options=STUBBORN) as application:
        # The sequences were read; whoever writes nothing is not held up.
        before(
            monkeypatch,
            procedure.streams,
            "disable_now",
            lambda: taken.extend(application.execute(NEXT).fetchone() or () for _ in range(100)),
        )
        moved.go()
    assert len(taken) == 100
    with psycopg.connect(moved.subscriber) as application:
        for row in taken:
            application.execute("insert into orders (id, customer_id) values (%s, 1)", [row[1]])
        given = [application.execute(NEXT).fetchone() for _ in range(100)]
        assert not {row[0] for row in taken} & {row[0] for row in given if row}
        for _ in range(100):
            application.execute("insert into orders (customer_id) values (1)")
    moved.road.complete()


def cut_short(name: str, patch: pytest.MonkeyPatch, way: Way) -> None:
    """Have the switchover end at a call of ``procedure``'s as a kill ends it: nothing is backed out."""

    class Killed(BaseException):
        pass

    def die(*_arguments: Any, **_options: Any) -> None:
        raise Killed

    with patch.context() as inner:
        inner.setattr(procedure, name, die)
        inner.setattr(procedure.opposite, "drop_slots", lambda _ctx: None)
        inner.setattr(procedure.streams, "enable", lambda _ctx: None)
        with pytest.raises(Killed):
            way.go()


def test_what_a_cut_short_hand_over_left_is_told_and_undone(
    way: Callable[..., Way], monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = way(attempts=1)
    cut_short("_in_time", monkeypatch, moved)
    assert "of a switchover that was cut short keeps WAL on the " in moved.road.app.status().way_back
    if moved.back:
        # The application stays where it is; only the source's sequences have moved.
        moved.road.advance("cleaned")
        assert small.leftovers(moved.publisher, moved.subscriber) == []
    else:
        moved.road.rollback("replicating")
        assert moved.road.on_destination(SLOTS) == []
        assert moved.road.on_destination(ENABLED) == [(True,)]
        moved.road.complete()


def test_a_way_back_that_is_half_done_only_goes_back(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = Way(road, back=True)
    cut_short("open_at_once", monkeypatch, moved)
    for url in (moved.publisher, moved.subscriber):
        with psycopg.connect(url) as application, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            application.execute(ADD.format("nobody serves"))
    moved.road.refuse(OutOfOrder, 3, "cleaned")
    moved.complete()


def test_a_cutover_that_is_half_done_is_completed_before_it_goes_back(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Way(road, back=False)
    cut_short("open_at_once", monkeypatch, moved)
    moved.road.rollback("seq_synced")
    with psycopg.connect(moved.road.source) as application:
        application.execute(ADD.format("the source serves again"))
    moved.road.complete()
