"""What the store keeps of comparisons, on both kinds of store."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from migrator.report_diff import COUNT, DataDiffReport, ProvenRows, TableDifference, verdict_of
from migrator.store.records import Scope, UnitRecord
from migrator.workflow import State
from tests.test_store_fixtures import plan

if TYPE_CHECKING:
    from migrator.store.journal import Journal

pytest_plugins = ["tests.test_store_fixtures"]

ROWS = Scope("forward", "hash_record_extended")
COUNTS = Scope("forward", COUNT)


def ended(journal: Journal, migration: int, scope: Scope, *tables: TableDifference) -> None:
    comparison = journal.begin_comparison(migration, scope)
    report = DataDiffReport(
        "shop", "replicating", scope.stream, scope.how, "0/1", 1.0, verdict_of(tables), tables, {}
    )
    journal.end_comparison(migration, comparison.id, report)


def verdicts(journal: Journal, migration: int) -> dict[str, str]:
    return {name: table.verdict for name, table in journal.compared(migration).items()}


@pytest.fixture
def streaming(journal: Journal) -> int:
    migration = plan(journal).id
    journal.move(migration, State.PLANNED, State.SCHEMA_COPIED)
    journal.move(migration, State.SCHEMA_COPIED, State.REPLICATING)
    return migration


def test_each_table_has_the_verdict_of_the_newest_comparison_that_covered_it(
    journal: Journal, streaming: int
) -> None:
    assert journal.last_comparison(streaming) is None
    assert journal.compared(streaming) == {}
    moving = TableDifference("b", "unresolved", unresolved=2, moving=(("1", "x"), ("2", "ü")))
    ended(journal, streaming, ROWS, TableDifference("a", "different", different=3, more=True), moving)
    ended(journal, streaming, Scope("forward", "md5", ("c", "a b")), TableDifference("c", "equal"))
    assert verdicts(journal, streaming) == {"a": "different", "b": "unresolved", "c": "equal"}
    found = journal.compared(streaming)
    assert found["b"].moving == (("1", "x"), ("2", "ü"))
    assert found["a"].different == 3
    last = journal.last_comparison(streaming)
    assert last is not None
    assert (last.verdict, last.lsn, last.how, last.patterns) == ("equal", "0/1", "md5", ["c", "a b"])
    assert last.counts == {"equal": 1, "rows_different": 0, "rows_more": 0, "rows_moving": 0}
    ended(journal, streaming, ROWS, TableDifference("a", "equal"))
    assert verdicts(journal, streaming)["a"] == "equal"


def test_a_proof_decides_what_the_last_comparison_left(journal: Journal, streaming: int) -> None:
    left = [TableDifference(n, "unresolved", unresolved=1, moving=(("1",),)) for n in ("a", "b")]
    equal, different = (TableDifference(n, v) for n, v in (("a", "equal"), ("b", "different")))
    ended(journal, streaming, ROWS, *left)
    journal.prove(streaming, ProvenRows("md5", (equal, TableDifference("c", "different")), 1, 0))
    last = journal.last_comparison(streaming)
    assert last is not None
    assert (last.verdict, last.counts["settled_equal"]) == ("undecided", 1), "b is not known yet"
    assert verdicts(journal, streaming) == {"a": "equal", "b": "unresolved", "c": "different"}
    assert journal.compared(streaming)["a"].moving == ()
    for proof, verdict in (((equal, different), "different"), ((equal, replace(equal, table="b")), "equal")):
        ended(journal, streaming, ROWS, *left)
        journal.prove(streaming, ProvenRows("md5", proof, 1, 0))
        last = journal.last_comparison(streaming)
        assert last is not None
        assert last.verdict == verdict
    ended(journal, streaming, ROWS, replace(different, table="a"), left[1])
    journal.prove(streaming, ProvenRows("md5", (equal, replace(equal, table="b")), 1, 0))
    last = journal.last_comparison(streaming)
    assert last is not None
    assert last.verdict == "different", "it was, then"
    assert verdicts(journal, streaming) == {"a": "equal", "b": "equal", "c": "different"}


def test_a_count_takes_nothing_back_but_what_a_count_has_said(journal: Journal, streaming: int) -> None:
    ended(journal, streaming, ROWS, TableDifference("a", "different"), TableDifference("b", "equal"))
    equal = [TableDifference(name, "equal") for name in "abc"]
    ended(journal, streaming, COUNTS, *equal)
    assert verdicts(journal, streaming) == {"a": "different", "b": "equal", "c": "equal"}
    assert journal.compared(streaming)["b"].how == ROWS.how
    ended(journal, streaming, COUNTS, TableDifference("b", "different"))
    ended(journal, streaming, COUNTS, *equal)
    assert verdicts(journal, streaming) == {"a": "different", "b": "equal", "c": "equal"}
    assert journal.compared(streaming)["b"].how == COUNT


def test_a_count_lets_a_comparison_that_was_cut_short_go_on(journal: Journal, streaming: int) -> None:
    begun = journal.begin_comparison(streaming, ROWS)
    journal.put_units(begun.id, [UnitRecord("a", 0, "1", [], {})])
    ended(journal, streaming, COUNTS, TableDifference("a", "equal"))
    assert journal.begin_comparison(streaming, ROWS) == begun
    assert len(journal.units(begun.id)) == 1
    assert journal.begin_comparison(streaming, Scope("back", ROWS.how)).id != begun.id
    assert journal.units(begun.id) == []


def test_what_was_compared_before_the_rows_were_copied_again_is_not_known(
    journal: Journal, streaming: int
) -> None:
    ended(journal, streaming, ROWS, TableDifference("a", "different"))
    journal.begin_comparison(streaming, ROWS)
    journal.move(streaming, State.REPLICATING, State.SEQ_SYNCED)
    journal.move(streaming, State.SEQ_SYNCED, State.REPLICATING)
    assert verdicts(journal, streaming) == {"a": "different"}
    journal.move(streaming, State.REPLICATING, State.SCHEMA_COPIED)
    journal.move(streaming, State.SCHEMA_COPIED, State.REPLICATING)
    assert verdicts(journal, streaming) == {}
    assert journal.last_comparison(streaming) is None
    assert journal.last_comparison(streaming, finished=False) is None
