"""Two inventories are compared as any two dictionaries would be, and what versions print is told apart."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.diff.printed import explain
from migrator.diff.schema_diff import SchemaComparison, Thing, Verdict, pairs

SEVENTEEN, EIGHTEEN = 170010, 180006
NAMES = st.text(st.sampled_from("ab ZÉ€\U0001f600\n\"'."), max_size=3)
TOLD = st.dictionaries(st.sampled_from(["type", "owner", "not null"]), st.sampled_from(["x", "y", True]))
INVENTORY = st.dictionaries(st.tuples(st.sampled_from(["table", "view"]), NAMES), TOLD)


def things(inventory: dict[tuple[str, str], dict[str, Any]], of: str | None = None) -> list[Thing]:
    found = [Thing(kind, name, of, json.dumps(told)) for (kind, name), told in inventory.items()]
    return sorted(found, key=lambda thing: thing.address.encode())


def compared(
    source: list[Thing], destination: list[Thing], versions: tuple[int, int] = (SEVENTEEN, SEVENTEEN)
) -> SchemaComparison:
    comparison = SchemaComparison(*versions)
    comparison.add(source, destination)
    return comparison


@given(INVENTORY, INVENTORY)
def test_every_object_is_met_once_and_with_its_own_kind_and_name(
    here: dict[tuple[str, str], dict[str, Any]], there: dict[tuple[str, str], dict[str, Any]]
) -> None:
    met = list(pairs(things(here), things(there)))
    assert sorted(t.address for pair in met for t in pair if t is not None) == sorted(
        t.address for t in things(here) + things(there)
    )
    assert all(one.address == other.address for one, other in met if one and other)
    assert sum(bool(one and other) for one, other in met) == len(here.keys() & there.keys())


@given(INVENTORY, INVENTORY)
def test_what_is_found_is_what_makes_one_side_of_the_other(
    here: dict[tuple[str, str], dict[str, Any]], there: dict[tuple[str, str], dict[str, Any]]
) -> None:
    comparison = compared(things(here), things(there))
    assert comparison.objects == len(here.keys() | there.keys())
    made = {key: dict(told) for key, told in here.items()}
    for found in comparison.differences:
        key = (found.kind, found.name)
        if found.on == "source":
            assert {c.name: c.source for c in found.changes} == made.pop(key)
            continue
        told = made.setdefault(key, {})
        for change in found.changes:
            assert told.get(change.name) == change.source != change.destination
            told[change.name] = change.destination
            if change.destination is None:
                del told[change.name]
    assert made == there


@given(INVENTORY)
def test_both_ways_the_same_is_found_with_the_sides_exchanged(
    here: dict[tuple[str, str], dict[str, Any]],
) -> None:
    there = {key: {**told, "type": "z"} for key, told in list(here.items())[::2]}
    forth = compared(things(here), things(there)).differences
    back = compared(things(there), things(here)).differences
    assert [(d.kind, d.name) for d in forth] == [(d.kind, d.name) for d in back]
    turned = {Verdict.ONLY_SOURCE: Verdict.ONLY_DESTINATION, Verdict.DIFFERS: Verdict.DIFFERS}
    assert [turned[d.verdict] for d in forth] == [d.verdict for d in back]


def test_parts_of_what_is_missing_are_not_told_again_however_deep() -> None:
    comparison = SchemaComparison(SEVENTEEN, EIGHTEEN)
    comparison.add([Thing("schema", "s", None, "{}")], [])
    comparison.add([Thing("table", "s.t", "schema s", "{}")], [])
    comparison.add([Thing("column", "s.t.c", "table s.t", "{}")], [])
    comparison.add([Thing("sequence", "s.q", "column s.t.c", "{}")], [])
    comparison.add([], [Thing("column", "u.c", "table u", "{}")])
    assert [d.name for d in comparison.differences] == ["s", "u.c"]


def test_the_order_of_columns_is_told_where_they_are_the_same_ones() -> None:
    def table(*columns: str) -> list[Thing]:
        return [Thing("table", "t", None, json.dumps({"column order": columns}))]

    assert [d.changes[0].name for d in compared(table("a", "b"), table("b", "a")).differences] == [
        "column order"
    ]
    assert compared(table("a", "b"), table("a")).differences == []


def extension(version: str) -> list[Thing]:
    return [Thing("extension", "x", None, json.dumps({"version": version}))]


@pytest.mark.parametrize(
    ("mine", "theirs", "versions", "verdict"),
    [
        ("1.1 (default)", "1.2 (default)", (SEVENTEEN, EIGHTEEN), Verdict.NOISE),
        ("1.2 (default)", "1.1 (default)", (EIGHTEEN, SEVENTEEN), Verdict.NOISE),
        ("1.1 (default)", "1.1 (default is 1.2)", (SEVENTEEN, SEVENTEEN), Verdict.NOISE),
        ("1.1 (default)", "1.1 (default is 1.2)", (SEVENTEEN, EIGHTEEN), Verdict.NOISE),
        ("1.2 (default)", "1.1 (default is 1.2)", (SEVENTEEN, EIGHTEEN), Verdict.DIFFERS),
        ("1.1 (default is 1.2)", "1.2 (default)", (SEVENTEEN, SEVENTEEN), Verdict.DIFFERS),
    ],
)
def test_an_extension_is_created_in_the_newer_servers_own_version(
    mine: str, theirs: str, versions: tuple[int, int], verdict: Verdict
) -> None:
    (found,) = compared(extension(mine), extension(theirs), versions).differences
    assert found.verdict is verdict


# One text, another, the versions of both, and whether they are the same.
PRINTED = {
    "a qualified column where one table is meant": (
        " SELECT t.a,\n    t.b\n   FROM s.t\n  WHERE (t.a > 0);",
        " SELECT a,\n    b\n   FROM s.t\n  WHERE (a > 0);",
        (150000, 160000),
        "table of a column",
    ),
    "one whose table is called like it": (
        "SELECT a.a FROM s.a WHERE (a.b = 'a.b'::text)",
        "SELECT a FROM s.a WHERE (b = 'a.b'::text)",
        (150000, 180000),
        "table of a column",
    ),
    "another table's column": ("SELECT a.x FROM a, b", "SELECT b.x FROM a, b", (150000, 160000), ""),
    "one's own function": ("SELECT s.f(t.a) FROM s.t", "SELECT f(a) FROM s.t", (150000, 160000), ""),
    "one's own type": ("SELECT (t.a)::s.date FROM s.t", "SELECT (a)::date FROM s.t", (150000, 160000), ""),
    "a relation elsewhere": ("SELECT t.a FROM s.t", "SELECT a FROM t", (150000, 160000), ""),
    "qualified by one version alone": ("SELECT t.a FROM s.t", "SELECT a FROM s.t", (160000, 170000), ""),
    "one in an inner query that has more of them": (
        "SELECT t.a FROM t WHERE (EXISTS ( SELECT 1 FROM u, v WHERE ((u.a = t.a) AND (v.a < 1.5))))",
        "SELECT a FROM t WHERE (EXISTS ( SELECT 1 FROM u, v WHERE ((u.a = t.a) AND (v.a < 1.5))))",
        (150000, 180000),
        "table of a column",
    ),
    "after a from that is no query's": (
        "SELECT EXTRACT(year FROM t.a) AS y FROM s.t WHERE (t.a IS DISTINCT FROM t.b)",
        "SELECT EXTRACT(year FROM a) AS y FROM s.t WHERE (a IS DISTINCT FROM b)",
        (150000, 180000),
        "table of a column",
    ),
    "of an alias": (
        'SELECT "T".a FROM ONLY s.t "T"(a, b) WHERE ("T".b > 0);',
        'SELECT a FROM ONLY s.t "T"(a, b) WHERE (b > 0);',
        (150000, 180000),
        "table of a column",
    ),
    "of an inner query": (
        "WITH w AS ( SELECT u.a FROM u) SELECT q.a FROM ( SELECT w.a FROM w) q LIMIT 1",
        "WITH w AS ( SELECT u.a FROM u) SELECT a FROM ( SELECT w.a FROM w) q LIMIT 1",
        (150000, 180000),
        "table of a column",
    ),
    "a number": ("1.5", "5", (150000, 180000), ""),
    "a number in a check": ("CHECK ((p < 0.5))", "CHECK ((p < (5)::numeric))", (150000, 180000), ""),
    "a number in a check without a cast": ("CHECK ((p < 0.5))", "CHECK ((p < 5))", (150000, 180000), ""),
    "a number in a view": (
        "SELECT t.p FROM s.t WHERE (t.p < 0.5);",
        "SELECT p FROM s.t WHERE (p < 5);",
        (150000, 180000),
        "",
    ),
    "a number in a view's digits": (
        "SELECT t.p FROM s.t WHERE (t.p < 1.5);",
        "SELECT p FROM s.t WHERE (p < 1.25);",
        (150000, 180000),
        "",
    ),
    "a number in an index": (
        "CREATE INDEX i ON s.t USING btree (p) WHERE (p < 0.5)",
        "CREATE INDEX i ON s.t USING btree (p) WHERE (p < 5)",
        (150000, 180000),
        "",
    ),
    "a number in a policy": ("(p < 0.5)", "(p < 5)", (150000, 180000), ""),
    "a number in an argument": ("p numeric DEFAULT 1.5", "p numeric DEFAULT 5", (150000, 180000), ""),
    "a type of another schema": ("s.date", "date", (150000, 180000), ""),
    "an attribute's": ("at s.date", "at date", (150000, 180000), ""),
    "a defined column's": (
        "SELECT s.a FROM s.f() s(a s.date)",
        "SELECT a FROM s.f() s(a date)",
        (150000, 180000),
        "",
    ),
    "an operator class": (
        "CREATE INDEX i ON s.t USING btree (p s.text_pattern_ops)",
        "CREATE INDEX i ON s.t USING btree (p text_pattern_ops)",
        (150000, 180000),
        "",
    ),
    "read back from a dump": (
        "CHECK (((k)::text = ANY ((ARRAY['a'::character varying, '],('::character varying])::text[])))",
        "CHECK (((k)::text = ANY (ARRAY[('a'::character varying)::text, ('],('::character varying)::text])))",
        (180000, 180000),
        "an array of casts",
    ),
    "another item": (
        "(k = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
        "(k = ANY (ARRAY[('a'::character varying)::text, ('c'::character varying)::text]))",
        (170000, 180000),
        "",
    ),
    "a new word of the grammar": (
        "CHECK ((json_value > 0))",
        'CHECK (("json_value" > 0))',
        (150000, 180000),
        "quotes",
    ),
    "a keyword that was quoted": ('("current_user" = 1)', "(CURRENT_USER = 1)", (150000, 180000), ""),
    "procedure": (
        "CREATE TRIGGER g BEFORE INSERT ON s.t FOR EACH ROW EXECUTE PROCEDURE s.f()",
        "CREATE TRIGGER g BEFORE INSERT ON s.t FOR EACH ROW EXECUTE FUNCTION s.f()",
        (110000, 180000),
        "function of a trigger",
    ),
    "lines": ("SELECT 1 AS a,\n  2 AS b", "SELECT 1 AS a, 2 AS b", (100000, 180000), "layout"),
    "spaces in a string": ("SELECT 'a  b'", "SELECT 'a b'", (100000, 180000), ""),
    "spaces in a name": ('SELECT "a  b"', 'SELECT "a b"', (100000, 180000), ""),
}  # fmt: skip


@pytest.mark.parametrize("case", PRINTED)
def test_what_is_only_printed_otherwise_is_explained_and_nothing_else(case: str) -> None:
    one, other, versions, reason = PRINTED[case]
    assert explain(one, other, *versions) == reason
    assert explain(other, one, *reversed(versions)) == reason


@given(
    st.lists(st.sampled_from(["SELECT", "FROM", "ARRAY", "text", "'x'", '"y"', *"ta.,()[]:"]), max_size=14)
)
def test_whatever_a_text_is_it_is_never_explained_as_one_with_a_word_more(words: list[str]) -> None:
    text = " ".join(words)
    assert explain(text, f"{text} more", 100000, 180000) == ""
    explain(text, " ".join(reversed(words)), 100000, 180000)
