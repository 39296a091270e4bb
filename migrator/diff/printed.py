"""Tell what two servers print differently for the same thing from what is not the same.

Each rule is for texts that PostgreSQL makes from what it has parsed. It takes both texts as words and gives
them back with one way of writing made the other; what is equal then was the same before. A rule holds for
servers on both sides of the version that brought the new way, or for any two where restoring a dump already
changes the way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from migrator.pg.versions import Feature, has, major_of

if TYPE_CHECKING:
    from collections.abc import Callable

Words = list[str]

# Names and strings in quotes are one word each, and so are numbers; where a line ends is no word.
WORD = re.compile(r'"(?:[^"]|"")*"|\'(?:[^\']|\'\')*\'|\d+\.\w+|\w+|[^\s\w]')
# What PostgreSQL does not print as a keyword: those are all capitals.
NAME = re.compile(r'".*"|[^\W\dA-Z][^\WA-Z]*', re.DOTALL)
# Names that a newer version puts into quotes: they have become words of its grammar
# (pg_get_keywords of 10 to 18).
NEW_WORDS = frozenset(
    [
        "json",
        "json_array",
        "json_arrayagg",
        "json_exists",
        "json_object",
        "json_objectagg",
        "json_query",
        "json_scalar",
        "json_serialize",
        "json_table",
        "json_value",
        "merge_action",
        "normalize",
        "system_user",
    ]
)
# What a column's name never follows: after these comes a type, a relation or a collation.
NO_COLUMN_AFTER = (":", "JOIN", "ONLY", "COLLATE")
# After from comes a relation, too, but where it stands inside of an expression.
FROM_INSIDE = (["EXTRACT"], ["OVERLAY"], ["SUBSTRING"], ["TRIM"])
# What a query goes on with after its tables.
AFTER_TABLES = frozenset(
    [
        ";",
        "EXCEPT",
        "FETCH",
        "FOR",
        "GROUP",
        "HAVING",
        "INTERSECT",
        "LIMIT",
        "OFFSET",
        "ORDER",
        "TABLESAMPLE",
        "UNION",
        "WHERE",
        "WINDOW",
    ]
)


class Rule(NamedTuple):
    """A way of writing: what it is called, what brought it, how both texts are written in one way."""

    name: str
    holds: Callable[[int, int], bool]
    rewrite: Callable[[Words, Words], tuple[Words, Words]]


def explain(one: str, other: str, version: int, other_version: int) -> str:
    """Return why two servers print the same thing as ``one`` and ``other``; nothing if it is not the same.

    The versions are each server's ``server_version_num``.
    """
    older, newer = _words(one), _words(other)
    reasons = []
    across = major_of(version) != major_of(other_version)
    if version > other_version:
        older, newer = newer, older
    if older == newer:
        # A string or a name that differs in its spaces is another word.
        return "layout" if across else ""
    for rule in RULES:
        if rule.holds(min(version, other_version), max(version, other_version)):
            changed = rule.rewrite(older, newer)
            if changed != (older, newer):
                reasons.append(rule.name)
            older, newer = changed
    return ", ".join(reasons) if older == newer else ""


def _words(text: str) -> Words:
    return WORD.findall(text)


def _unquoted(older: Words, newer: Words) -> tuple[Words, Words]:
    """Take the quotes off names that only the newer version has to put into them."""

    def plain(word: str) -> str:
        return word[1:-1] if word[:1] == '"' and word[1:-1] in NEW_WORDS else word

    return older, [plain(word) for word in newer]


def _function_of_trigger(older: Words, newer: Words) -> tuple[Words, Words]:
    """Say function where the older version says procedure."""
    changed = list(older)
    for place, word in enumerate(older[1:], 1):
        if word == "PROCEDURE" and older[place - 1] == "EXECUTE":
            changed[place] = "FUNCTION"
    return changed, newer


def _unqualified(older: Words, newer: Words) -> tuple[Words, Words]:
    """Leave out the table of a column where the newer version does.

    It does in a view whose query has one table only: until 15 that had two more, for what was and what comes
    to be (list_length(rtable) in get_query_def of ruleutils.c). All else is printed alike, the view's inner
    queries, too: nothing but a query is looked at.
    """
    table = _only_table(older)
    if not table:
        return older, newer
    changed: Words = []
    # The words that parentheses follow which are still open.
    inside: Words = []
    place = 0
    while place < len(older):
        word, before = older[place], older[place - 1] if place else ""
        here = len(changed)
        is_qualifier = (
            word == table
            and older[place + 1 : place + 2] == ["."]
            and older[place + 3 : place + 4] != ["("]
            and before not in NO_COLUMN_AFTER
            # A column that is defined: its name stands before its type.
            and not NAME.fullmatch(before)
            and (before != "FROM" or older[place - 2] == "DISTINCT" or inside[-1:] in FROM_INSIDE)
        )
        if is_qualifier and newer[here : here + 2] != [word, "."]:
            place += 2
            continue
        if word == "(":
            inside.append(before)
        elif word == ")":
            del inside[-1:]
        changed.append(word)
        place += 1
    return changed, newer


def _only_table(words: Words) -> str:
    """Return what a query calls the table that it is from, if that is one and it is a query; or nothing."""
    if words[:1] not in (["SELECT"], ["WITH"]):
        return ""
    outer = _outside(words)
    if outer.count("FROM") != 1:
        return ""
    tables = outer[outer.index("FROM") + 1 :]
    end = next((place for place, word in enumerate(tables) if word in AFTER_TABLES), len(tables))
    names = [word for word in tables[:end] if NAME.fullmatch(word)]
    return names[-1] if names and "," not in tables[:end] and "JOIN" not in tables[:end] else ""


def _outside(words: Words) -> Words:
    """Return the words that are not in parentheses."""
    found, depth = [], 0
    for word in words:
        depth -= word == ")"
        if depth == 0 and word != ")":
            found.append(word)
        depth += word == "("
    return found


def _array_of_casts(older: Words, newer: Words) -> tuple[Words, Words]:
    """Write ``(array[a, b])::t[]`` as ``array[(a)::t, (b)::t]``, which is how it is read back from a dump."""
    return _casts_inside(older), _casts_inside(newer)


def _casts_inside(words: Words) -> Words:
    start = 0
    while True:
        try:
            start = words.index("ARRAY", start) + 1
        except ValueError:
            return words
        if words[start - 2 : start + 1] != ["(", "ARRAY", "["]:
            continue
        items, end = _items(words, start)
        if words[end + 1 : end + 4] != [")", ":", ":"]:
            continue
        after = end + 4
        while after < len(words) and words[after] not in ("[", ")", ","):
            after += 1
        if words[after : after + 2] != ["[", "]"]:
            continue
        cast = [":", ":", *words[end + 4 : after]]
        inside = [word for item in items for word in (",", "(", *item, ")", *cast)][1:]
        words = [*words[: start - 2], "ARRAY", "[", *inside, "]", *words[after + 2 :]]


def _items(words: Words, start: int) -> tuple[list[Words], int]:
    """Return the items of the list that begins with a bracket, and where it ends."""
    items: list[Words] = [[]]
    depth = 0
    for place in range(start, len(words)):
        word = words[place]
        depth += (word in ("[", "(")) - (word in ("]", ")"))
        if depth == 0:
            return items, place
        if depth == 1 and word == ",":
            items.append([])
        elif place > start:
            items[-1].append(word)
    return items, len(words)


def _across(feature: Feature) -> Callable[[int, int], bool]:
    return lambda older, newer: has(newer, feature) and not has(older, feature)


RULES = (
    Rule("an array of casts", lambda _older, _newer: True, _array_of_casts),
    Rule("quotes", lambda older, newer: major_of(older) != major_of(newer), _unquoted),
    Rule("function of a trigger", _across(Feature.TRIGGERS_SAY_FUNCTION), _function_of_trigger),
    Rule("table of a column", _across(Feature.UNQUALIFIED_VIEWS), _unqualified),
)
