"""What a DBA does to the source's tables during the copy is handled, or refused with a way on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from migrator.copy.relay import Relay
from migrator.demo.proof import compare
from migrator.errors import GateClosed, StatementFailed, StepFailed
from migrator.steps import await_catch_up
from tests.fixtures.road import Road, run
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.errors import MigratorError

    Roads = Callable[..., Road]

# Copied in this order: the more work, the earlier.
SETUP = """
create table large (id int primary key, text text);
insert into large select n, repeat('x', 100) from generate_series(1, 20000) n;
create table thing (id int primary key, name text not null, amount int);
create index thing_names on thing (name);
insert into thing select n, 'thing ' || n, n from generate_series(1, 1000) n;
create table small (id int primary key);
"""
BEFORE = "before its copy"
WAITED = "while its copy waits for it"
AFTER = "after its copy"
MOMENTS = (BEFORE, WAITED, AFTER)
# What tells whether the stream goes on with the table.
WRITE = "insert into thing (id, name) values (1001, 'new'); delete from thing where id = 7"

HANDLED = {
    "vacuum full": "vacuum full thing",
    "truncate": "truncate thing",
    "drop index": "drop index thing_names",
    "cluster": "cluster thing using thing_pkey",
    "create index": "create index thing_amounts on thing (amount)",
}
# What runs in no transaction, or locks no reader out: nothing waits for its end.
NOT_WAITED_FOR = {"vacuum full", "cluster", "create index"}

# What changes a table; the stream carries none of it.
CHANGED = {
    "add column": "alter table thing add column note text",
    "add column with a default": "alter table thing add column note text default 'none'",
    "rename column": "alter table thing rename column amount to quantity",
    "drop column": "alter table thing drop column amount",
}
REWRITTEN = {
    "add column that rewrites": "alter table thing add column at timestamptz default clock_timestamp()",
    "alter type": "alter table thing alter column amount type bigint using amount * 2",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each statement at one moment, or with ``--crashes`` at all."""
    if "what" not in metafunc.fixturenames:
        return
    of_test = CHANGED | REWRITTEN if "columns" in metafunc.function.__name__ else HANDLED
    every = metafunc.config.getoption("--crashes")
    cases = []
    for number, what in enumerate(of_test):
        moments = [m for m in MOMENTS if m != WAITED or what not in NOT_WAITED_FOR]
        cases += [(what, m) for m in (moments if every else [moments[number % len(moments)]])]
    metafunc.parametrize(("what", "moment"), cases, ids=[" ".join(case) for case in cases])


class Copying:
    """Runs a statement at a moment of the copy of ``thing``."""

    def __init__(self, road: Road, moment: str, statement: str, patch: pytest.MonkeyPatch) -> None:
        self.road, self.moment, self.statement = road, moment, statement
        self.done: list[str] = []
        self.order: list[str] = []
        self.copy = Relay.copy
        self.waiting: list[threading.Thread] = []

        async def copied(relay: Relay, piece: Any, *others: Any) -> Any:
            self.begin(piece.table.name)
            return await self.copy(relay, piece, *others)

        patch.setattr(Relay, "copy", copied)

    def begin(self, table: str) -> None:
        self.order.append(table)
        if not self.done and (self.moment, table) in ((BEFORE, "thing"), (AFTER, "small")):
            self.done.append(table)
            run(self.road.source, self.statement)
        elif not self.done and (self.moment, table) == (WAITED, "thing"):
            self.done.append(table)
            connection = connect(self.road.source)
            connection.execute("begin")
            connection.execute(self.statement.encode())

            def commit() -> None:
                time.sleep(0.3)
                connection.execute("commit")
                connection.close()

            self.waiting.append(threading.Thread(target=commit))
            self.waiting[0].start()


@pytest.fixture
def copying(road: Roads, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], tuple[Road, Copying]]:
    """A factory: a migration that is to copy, and will meet a statement at a moment."""

    def create(moment: str, statement: str) -> tuple[Road, Copying]:
        monkeypatch.setattr(await_catch_up, "PATIENCE", 0.3)
        moved = road("schema_copied", setup=SETUP, copy={"jobs": 1})
        return moved, Copying(moved, moment, statement, monkeypatch)

    return create


def names(road: Road) -> list[Any]:
    """Return the tables, columns and valid indexes of both sides that the other does not have."""
    query = """
        select c.oid::regclass::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
        from pg_class c
        join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        where c.relkind in ('r', 'i') and c.relnamespace = 'public'::regnamespace
    """
    return sorted({*road.on_source(query)} ^ {*road.on_destination(query)})


def test_what_keeps_the_rows_or_is_streamed_is_handled(
    copying: Callable[[str, str], tuple[Road, Copying]], what: str, moment: str
) -> None:
    moved, met = copying(moment, HANDLED[what])
    moved.advance("replicating")
    assert met.done
    assert met.order == ["large", "thing", "small"]
    moved.on_source(WRITE)
    if what == "drop index":
        assert "indexes of public.thing" in moved.refuse(GateClosed, 4, "cutover")
        moved.app.refresh()
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    # An index that went after it was dumped is built, and stays.
    assert [name for name in names(moved) if name[0] != "thing_names"] == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_table_that_is_dropped_is_left_out_by_the_same_command(
    copying: Callable[[str, str], tuple[Road, Copying]], moment: str
) -> None:
    moved, met = copying(moment, "drop table thing")
    if moment == AFTER:
        moved.advance("replicating")
    else:
        assert "public.thing" in moved.refuse(StatementFailed, 5, "replicating")
        moved.advance("replicating")
    assert met.done
    moved.on_source("insert into small values (1)")
    assert "public.thing (not on the source)" in moved.refuse(GateClosed, 4, "cutover")
    moved.app.refresh()
    moved.advance("cutover")
    (difference,) = compare(moved.source, moved.destination)
    assert (difference.name, difference.detail) == ("public.thing", "only on the destination")


def test_a_table_whose_columns_change_is_an_error_with_a_way_on(
    copying: Callable[[str, str], tuple[Road, Copying]], what: str, moment: str
) -> None:
    moved, met = copying(moment, (CHANGED | REWRITTEN)[what])
    errors = [refused(moved), refused(moved)]
    assert met.done
    assert all("thing" in error.message and error.hint for error in errors)
    assert "columns differ" in errors[1].message
    assert "migrator rollback-to planned" in errors[1].hint
    if what in CHANGED:
        run(moved.destination, CHANGED[what])
    else:
        moved.rollback("planned")
    moved.advance("replicating")
    moved.on_source(WRITE)
    moved.advance("cutover")
    assert compare(moved.source, moved.destination) == []
    assert names(moved) == []


def refused(road: Road) -> MigratorError:
    """Advance, which must fail with exit code 4 or 5; return why."""
    with pytest.raises((StepFailed, GateClosed)) as raised:
        road.advance("replicating")
    return raised.value


def test_an_index_that_is_made_concurrently_waits_for_the_copy_and_is_taken_in(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("schema_copied", setup=SETUP, copy={"jobs": 1})
    copy, making = Relay.copy, []
    statement = "create index concurrently thing_amounts on thing (amount)"

    async def copied(relay: Relay, piece: Any, *others: Any) -> Any:
        if piece.table.name == "thing":
            making.append(threading.Thread(target=run, args=(moved.source, statement)))
            making[0].start()
        return await copy(relay, piece, *others)

    monkeypatch.setattr(Relay, "copy", copied)
    moved.advance("replicating")
    making[0].join(20)
    assert not making[0].is_alive()
    moved.app.refresh()
    assert names(moved) == []
    moved.complete()


def test_an_index_that_is_made_later_holds_the_cutover_back_until_it_is_taken_in(road: Roads) -> None:
    moved = road("replicating", setup=SETUP)
    moved.on_source("create index thing_amounts on thing (amount)")
    assert "public.thing_amounts; migrator refresh" in moved.refuse(GateClosed, 4, "cutover")
    moved.app.refresh()
    moved.complete()
