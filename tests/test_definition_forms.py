"""Whatever a source holds, what is written of it can be read back, and stands on one line."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import date, timedelta
from ipaddress import ip_network
from itertools import chain
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.manual.definition import definition
from migrator.manual.hba_tokens import KEYWORDS, Token, fields, line_at, spelled
from migrator.manual.inventory import (
    Database,
    Extension,
    Hba,
    Inventory,
    Membership,
    OwnSetting,
    Role,
    Rule,
    Schema,
    Setting,
    Users,
    in_creation_order,
)
from migrator.manual.inventory_hba import rule_of
from migrator.manual.pigsty import LONG_PAST, is_carried, last_day
from migrator.manual.plain_hba import line, prefix_length
from migrator.manual.statements import identifier, literal
from tests.fixtures import pigsty

anything = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
a_name = st.one_of(st.from_regex(r"[a-z_][a-z0-9_@.-]{0,8}", fullmatch=True), anything.filter(bool))
settings = st.builds(Setting, st.sampled_from(["search_path", "work_mem", "app.x", 'app."y']), anything)
expiries = st.sampled_from(
    [
        *(None, "infinity", "-infinity", "0044-03-15 00:00:00+00 BC", "12345-01-01 00:00:00+00"),
        *("2030-01-02 00:00:00+00", "2030-01-02 03:04:05.6+00"),
    ]
)
roles = st.builds(
    Role,
    name=a_name,
    bootstrap=st.just(False),
    connection_limit=st.integers(-1, 100),
    expires=expiries,
    comment=st.none() | anything.filter(bool),
    password=st.none() | st.just("SCRAM-SHA-256$4096:a$b:c"),
    settings=st.lists(settings, max_size=3, unique_by=lambda s: s.name).map(tuple),
)

DATABASE = Database(
    name="old",
    new_name="new",
    owner="app",
    encoding="UTF8",
    provider="icu",
    collate="C",
    ctype="C",
    locale="de-DE",
    rules="&a < b",
    tablespace="fast",
    is_template=True,
    allow_connections=True,
    connection_limit=-1,
    connect_revoked=False,
    comment=None,
    schemas=(),
    extensions=(Extension("b", "s", "1"), Extension('odd"', "s", "1")),
    settings=(),
    own_settings=(),
)
RULE = Rule("", 1, "host", ("all",), ("all",), "10.0.0.0", "255.0.0.0", "ldap", (), None, complete=True)


def meant_by(quoted: str) -> str:
    """Return what SQL takes an identifier or literal for."""
    quote = quoted[-1]
    inside = quoted[quoted.index(quote) + 1 : -1].replace(quote * 2, quote)
    if not quoted.startswith("U&"):
        return inside
    return re.sub(
        r"\\(?:(\\)|\+([0-9A-F]{6})|([0-9A-F]{4}))",
        lambda m: m[1] or chr(int(m[2] or m[3], 16)),
        inside,
    )


@given(anything)
def test_a_quoted_text_is_that_text_on_one_line(text: str) -> None:
    for quoted in (identifier(text), literal(text)):
        assert meant_by(quoted) == text
        assert quoted.isprintable()


@given(st.lists(roles, max_size=4, unique_by=lambda role: role.name), st.data())
def test_the_yaml_says_of_every_role_what_it_is_or_has_the_sql(
    found: list[Role], data: st.DataObject
) -> None:
    # One is in another only if that one comes earlier.
    pairs = [(r.name, m.name) for i, m in enumerate(found) for r in found[:i]]
    chosen = data.draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []
    options = data.draw(st.lists(st.booleans(), min_size=3 * len(chosen), max_size=3 * len(chosen)))
    memberships = [Membership(*pair, *options[3 * i : 3 * i + 3]) for i, pair in enumerate(chosen)]
    own = OwnSetting("x\n", "else\nwhere", Setting("work_mem", "\n"))
    users = Users("old", tuple(found), tuple(memberships), (own,))
    text = definition(Inventory("here", users=users))
    said = {user["name"]: user for user in pigsty.validated(text)["pg_users"]}
    rest = "\n".join(pigsty.not_carried(text))
    assert list(said) == [role.name for role in found if is_carried(role.name)]
    for role in found:
        name = identifier(role.name)
        if role.name not in said:
            assert role.name in ("postgres", "replicator") or f"create role {name}" in rest
            continue
        user = said[role.name]
        for word in ("superuser", "createrole", "createdb", "replication", "bypassrls"):
            assert user.get(word, False) is getattr(role, word)
        assert user.get("login", True) is role.login
        assert user.get("inherit", True) is role.inherit
        assert user.get("connlimit", -1) == role.connection_limit
        assert user.get("password") == role.password
        assert (
            user["comment"] == role.comment
            or (role.comment is None and user["comment"] == "")
            or (f"comment on role {name} is {literal(role.comment or '')};" in rest)
        )
        for setting in role.settings:
            is_said = setting.name in user.get("parameters", {})
            assert is_said or f"alter role {name} set" in rest
            if is_said and setting.name != "search_path":
                assert user["parameters"][setting.name] == setting.value
    for membership in memberships:
        member = next(role for role in found if role.name == membership.member)
        is_usual = membership.set and not membership.admin and membership.inherit is member.inherit
        is_said = membership.role in said.get(membership.member, {}).get("roles", [])
        words = f"grant {identifier(membership.role)} to {identifier(membership.member)}"
        assert (is_said and is_usual) or words in rest


@given(roles, anything)
def test_every_statement_stands_on_one_line(role: Role, name: str) -> None:
    users = Users(name, (role,), (Membership(role.name, name, True, False, False),), ())
    database = replace(DATABASE, name=name, new_name=name, owner=name, schemas=(Schema(name, name),))
    begun = ("--", "set ", "create ", "alter ", "comment ", "grant ", "\\connect ", "drop ")
    for row in definition(Inventory("here", users, database), "sql").split("\n"):
        assert row.isprintable()
        assert not row or row.startswith(begun)
    text = definition(Inventory("here", users, database))
    pigsty.validated(text)
    assert all(row.isprintable() for row in text.split("\n") if row.startswith("#"))


@given(st.dates(date(1, 1, 1), date(9999, 12, 30)), st.times())
def test_no_role_lives_longer_than_it_did(day: date, time: object) -> None:
    written = last_day(f"{day.isoformat()} {time}+00")
    assert written == day.isoformat()
    assert date.fromisoformat(written) < day + timedelta(1)
    assert last_day("-infinity") == last_day("0044-03-15 00:00:00+00 BC") == LONG_PAST
    assert last_day("12345-01-01 00:00:00+00") == "9999-12-31"


lines = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n"), max_size=8)
tokens = st.builds(Token, lines | st.sampled_from([*KEYWORDS, "+x", "@f", "/r, e$"]), st.booleans())


@given(st.lists(st.lists(tokens, min_size=1, max_size=3), min_size=1, max_size=3))
def test_a_token_is_read_back_with_its_meaning(wanted: list[list[Token]]) -> None:
    found = fields(" ".join(",".join(map(spelled, field)) for field in wanted))
    assert [[t.text for t in field] for field in found] == [[t.text for t in field] for field in wanted]
    for was, now in zip(chain(*wanted), chain(*found), strict=True):
        if was.text in KEYWORDS or (was.text.startswith("+") and len(was.text) > 1):
            assert now.quoted is was.quoted
        # It would be read from a file.
        assert now.quoted or not was.text.startswith("@")


def test_a_line_goes_on_after_a_backslash() -> None:
    text = ["local all \\", "all \\", "peer", "host"]
    assert [line_at(text, number) for number in (1, 3, 4, 9)] == ["local all all peer", "peer", "host", ""]


@pytest.mark.parametrize("every", ["0.0.0.0/0", "::/0"])
def test_a_netmask_is_a_prefix_or_none(every: str) -> None:
    for length in range(ip_network(every).max_prefixlen + 1):
        assert prefix_length(str(ip_network(every).supernet().__class__((0, length)).netmask)) == length
    assert prefix_length("255.0.255.0") is None


def test_the_options_of_a_rule_are_said_as_pg_hba_conf_takes_them() -> None:
    def options(method: str, *shown: str) -> str:
        return line(replace(RULE, method=method, options=shown)).partition(f" {method}")[2].strip()

    assert options("gss", "include_realm=true") == "include_realm=1"
    assert options("gss") == "include_realm=0"
    assert options("cert", "clientcert=verify-full", "map=a b") == '"map=a b"'
    assert options("md5", "clientcert=true") == "clientcert=verify-ca"
    plain = ("ldapserver=a", "ldaptls=true", "ldapscope=2", "ldapscheme=ldaps")
    assert options("ldap", *plain) == "ldapserver=a ldaptls=1 ldapscheme=ldaps"
    by_url = ("ldapserver=a", "ldapport=636", "ldapbasedn=dc=x y", "ldapsearchfilter=(uid=*)", "ldapscope=1")
    assert options("ldap", *by_url) == "ldapurl=ldap://a:636/dc%3Dx%20y??one?(uid=%2A)"


def test_what_the_server_does_not_show_is_taken_from_the_file() -> None:
    shown = {"file": "", "type": "host", "address": None, "netmask": None, "method": "ldap", "error": None}
    row = SimpleNamespace(**shown, line=2, databases=["all"], users=["all"], options=["ldapserver=a"])
    for written in ("ldapurl=ldaps://a", "ldapserver=a ldapscheme=ldaps"):
        lines = ["", "host all,\\", f'"all" a ldap {written}']
        seen = rule_of(replace_row(row, databases=["all", "all"], users=["a"]), lines, with_passwords=False)
        assert seen.complete
        assert seen.databases == ("all", '"all"')
        assert seen.options == ("ldapserver=a", "ldapscheme=ldaps")
    blind = rule_of(row, ["", "host all @file a ldap"], with_passwords=False)
    assert not blind.complete
    assert blind.options == ("ldapserver=a",)
    row = replace_row(row, options=["ldapbindpasswd=x"])
    assert rule_of(row, [], with_passwords=False).options == ("ldapbindpasswd=***",)


def replace_row(row: SimpleNamespace, **changed: object) -> SimpleNamespace:
    return SimpleNamespace(**vars(row) | changed)


def test_what_the_server_does_not_show_is_said_where_the_file_could_not_be_read() -> None:
    blind = replace(RULE, complete=False, databases=("/x",))
    text = definition(Inventory("here", hba=Hba((blind,), pending=None)), "sql")
    assert "ldapscheme, which the server does not show" in text
    assert "quotes around keywords" in text
    assert "regular expression as of 16" in text
    assert "not carried" not in definition(Inventory("here", hba=Hba((RULE,), pending=None)), "sql")


def test_a_database_with_a_locale_of_its_own_in_another_place() -> None:
    text = definition(Inventory("here", database=DATABASE), "sql")
    assert "locale_provider icu icu_locale 'de-DE' icu_rules '&a < b';" in text
    assert '--   alter database "new" set tablespace "fast";' in text
    assert 'drop schema "public";' in text
    assert 'alter database "new" is_template true;' in text
    text = definition(Inventory("here", database=DATABASE))
    (said,) = pigsty.validated(text)["pg_databases"]
    assert (said["locale_provider"], said["icu_locale"], said["icu_rules"]) == ("icu", "de-DE", "&a < b")
    assert said["extensions"] == [{"name": "b", "schema": "s"}]
    assert 'create extension if not exists "odd""" with schema "s" cascade;' in pigsty.not_carried(text)


def test_a_database_that_pigsty_cannot_be_told_to_make_is_made_by_sql() -> None:
    text = definition(Inventory("here", database=replace(DATABASE, new_name="a b")))
    assert pigsty.validated(text)["pg_databases"] == []
    assert any(row.startswith('create database "a b" ') for row in pigsty.not_carried(text))


@given(st.lists(st.integers(0, 20), unique=True), st.data())
def test_what_is_needed_comes_first(numbers: list[int], data: st.DataObject) -> None:
    names = [str(number) for number in numbers]
    needs = {name: data.draw(st.lists(st.sampled_from(names[:i]))) for i, name in enumerate(names) if i}
    ordered = in_creation_order(sorted(names), needs)
    assert sorted(ordered) == sorted(names)
    assert all(ordered.index(need) < ordered.index(name) for name in needs for need in needs[name])
