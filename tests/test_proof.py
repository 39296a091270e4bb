"""After a switchover all rows are compared as they were inside the fence, and the verdict is true."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from psycopg import sql

from migrator.data_diff import Options
from migrator.diff import compare as engine
from migrator.diff import different
from migrator.diff.row_hash import Expressions, RowHash
from migrator.diff.snapshots import Snapshots
from migrator.render.text import text
from migrator.switchover import proof
from tests.fixtures import small
from tests.fixtures.road import before

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.writer import Writer
    from tests.fixtures.road import Road

    Roads = Callable[..., Road]

ADD = "insert into products (title, price) values ('{}', 1)"
FENCE = "select tgname from pg_trigger where tgname ~ '^migrator_fence' limit 1"
# Past the destination's fence and behind the stream's back.
SLIP = """
set default_transaction_read_only = off;
alter table {table} disable trigger {fence};
{change};
alter table {table} enable always trigger {fence}
"""


def slip(moved: Road, table: str, change: str) -> None:
    """Change something on the destination alone."""
    (fence,) = moved.on_destination(FENCE)[0]
    moved.on_destination(SLIP.format(table=table, fence=fence, change=change))


def record(moved: Road, *, destination: bool = True) -> dict[str, Any]:
    ask = moved.on_destination if destination else moved.on_source
    (schema,) = ask("select nspname from pg_namespace where nspname ~ '^migrator_'")[0]
    found: dict[str, Any] = ask(f"select detail from {schema}.journal where event = 'proof'")[0][0]
    return found


def test_equal_rows_are_told_with_the_position_and_how_many_while_clients_write(
    road: Roads, writer: Callable[..., Writer]
) -> None:
    moved = road("", setup="select 1")
    small.load(moved.source, rows=1000)
    moved.plan()
    moved.advance("seq_synced")
    clients = writer(moved.source, small.trade, sessions=2)
    clients.wait_for(30)
    moved.advance("cutover")
    clients.stop()
    found = record(moved)
    rows = sum(
        moved.on_source(f"select count(*) from {table}")[0][0]
        for table in ("customers", "products", "orders", "order_lines", "events", "ledger")
    )
    assert found["verdict"] == proof.EQUAL
    assert (found["tables"], found["rows"], found["not_compared"]) == (7, rows, [])
    assert f"equal at LSN {found['lsn']}, 7 tables, {rows:,} rows" in moved.app.status().proof
    evidence = [a.evidence for a in moved.app.history().attempts if a.step == "prove"]
    assert [e["lsn"] for e in evidence] == [found["lsn"]]


def test_the_rows_that_differ_are_named_by_their_keys(road: Roads) -> None:
    moved = road("seq_synced", cutover={"quick_diff": "0s"})
    moved.on_source(
        'create table "odd % name" ("the key %" text primary key, x float8, note text);'
        "create table bag (a int, b text); alter table bag replica identity full"
    )
    moved.on_source(
        "insert into \"odd % name\" values ('a', 0.1, null), ('b', 'NaN', ''), ('c', 1e-300, '%');"
        "insert into bag values (1, 'x'), (1, 'x'), (2, 'y')"
    )
    moved.app.refresh()
    slip(moved, '"odd % name"', "update \"odd % name\" set note = '' where \"the key %\" = 'a'")
    slip(moved, "bag", "insert into bag values (1, 'x')")
    slip(
        moved, "events_in", "delete from events_in where id = 2; update events_in set at = null where id = 4"
    )
    moved.advance("cutover")
    found = record(moved)
    assert found["verdict"] == proof.DIFFERENT
    told = " ".join(found["differences"])
    assert "public.events_in: 10 rows on the source, 9 on the destination" in told
    assert "(id, kind)=(2,in) is only on the source, (id, kind)=(4,in) differs" in told
    assert '"odd % name": 3 rows on the source, 3 on the destination, (the key %)=(a) differs' in told
    assert "bag: 3 rows on the source, 4 on the destination, row=(1,x) is only on the destination" in told
    assert moved.app.status().proof.startswith("different at LSN")


def test_rows_left_undecided_are_settled_and_what_is_only_hashed_differently_is_equal(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")
    moved.on_source(
        "create table bag (a int, b text); alter table bag replica identity full;"
        "insert into bag values (1, 'x'), (1, 'x'), (2, null)"
    )
    moved.app.refresh()
    slip(moved, "products", "update products set title = 'other ' || id where id < 4")
    slip(moved, "bag", "update bag set b = 'y' where a = 2")
    # A difference is believed when it was proven twice.
    report = moved.app.diff(Options(rounds=1))
    assert {t.table: t.moving for t in report.tables if t.verdict != "equal"}.keys() == {
        "public.products",
        "public.bag",
    }
    last = moved.app.status().comparison
    assert last is not None
    assert (last.verdict, last.rows_unresolved, last.settled_equal) == ("undecided", 5, None)
    slip(moved, "products", "update products set title = 'product ' || id where id < 3")

    expressions = RowHash.expressions

    def by_side(*arguments: Any) -> Expressions:
        found = expressions(*arguments)
        other = sql.SQL("({} # pg_catalog.current_setting('port')::bigint)")
        return replace(found, row=other.format(found.row), key=other.format(found.key))

    monkeypatch.setattr(RowHash, "expressions", by_side)
    moved.advance("cutover")
    found = record(moved)
    assert (found["verdict"], found["tables"], found["not_compared"]) == (proof.DIFFERENT, 6, [])
    assert sorted(found["differences"]) == [
        "public.bag: 3 rows on the source, 3 on the destination, row=(2,) is only on the source, "
        "row=(2,y) is only on the destination",
        "public.products: 10 rows on the source, 10 on the destination, (id)=(3) differs",
    ]
    last = moved.app.status().comparison
    assert last is not None
    assert (last.verdict, last.settled_equal, last.settled_different) == ("different", 2, 1)
    assert "5 rows not decided · at the switchover 2 of these equal, 1 different" in "".join(
        text(moved.app.status())
    )

    # Where more is hashed differently than can be looked at, nothing is said to be equal.
    monkeypatch.setattr(different, "LOOKED_AT", 3)
    moved.rollback("seq_synced")
    found = record(moved, destination=False)
    assert "public.products: 10 rows on the destination, 10 on the source, (id)=(3) differs, and more" in str(
        found
    )
    assert "public.customers (more of its rows are hashed differently than could be looked at" in str(found)
    findings = moved.app.preview_advance(None).findings
    assert {f.subject for f in findings if f.check == "last_comparison" and f.severity == "block"} == {
        "public.products",
        "public.bag",
    }


def test_the_writes_of_the_other_side_prove_as_well_on_the_way_back(road: Roads) -> None:
    moved = road("cutover")
    moved.on_destination(ADD.format("written there"))
    moved.rollback("seq_synced")
    found = record(moved, destination=False)
    assert (found["verdict"], found["number"]) == (proof.EQUAL, 2)
    assert "equal at LSN" in moved.app.status().proof
    moved.advance("cutover")
    assert record(moved)["number"] == 3
    moved.complete()


def test_what_is_rewritten_before_it_is_compared_is_not_said_to_differ(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")

    def change() -> None:
        moved.on_destination("truncate ledger; alter table products drop column price")

    before(monkeypatch, engine, "contents", change)
    moved.advance("cutover")
    found = record(moved)
    assert found["verdict"] == proof.EQUAL
    told = " ".join(found["not_compared"])
    assert "public.ledger (it was truncated or rewritten since)" in told
    assert "public.products (" in told
    assert len(found["not_compared"]) == 2


def test_a_proof_that_is_cut_short_is_not_made_and_stops_nothing(
    road: Roads, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = road("seq_synced")

    def interrupted(*_arguments: Any, **_options: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(proof, "compare", interrupted)
        with pytest.raises(KeyboardInterrupt):
            moved.advance("cutover")
    assert moved.app.status().proof == "not made yet"
    moved.on_destination(ADD.format("the application goes on"))
    moved.advance("cutover")
    assert record(moved)["verdict"] == proof.NOT_MADE
    assert moved.app.status().proof.startswith("not made: the command that held the snapshots ended")
    moved.complete()


def test_snapshots_that_cannot_be_had_stop_no_cutover(road: Roads, monkeypatch: pytest.MonkeyPatch) -> None:
    moved = road("seq_synced")
    take = Snapshots.take

    def take_without_a_session(held: Snapshots) -> bool:
        assert held.holders is not None
        moved.on_destination(f"select pg_terminate_backend({held.holders.destination.pid})")
        return take(held)

    monkeypatch.setattr(Snapshots, "take", take_without_a_session)
    moved.advance("cutover")
    assert record(moved)["verdict"] == proof.NOT_MADE
    moved.complete()


def test_without_prove_nothing_is_compared_and_nothing_said(road: Roads) -> None:
    moved = road("cutover", cutover={"prove": False})
    assert moved.app.status().proof == ""
    moved.complete()
