"""No password gets past ``redact``, however it is written."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import sql
from psycopg.conninfo import make_conninfo

from migrator.pg.redact import HIDDEN, redact

# What must never be seen again, and whatever may stand around it in a password.
SECRET = "Hunter2"
characters = st.characters(exclude_categories=["Cs", "Cc"])
some = st.text(characters, max_size=8)
tricky = st.text(st.sampled_from(""" '"\\&@:/?#%=;,()[]$"""), max_size=6)
passwords = st.builds(lambda before, after: before + SECRET + after, some | tricky, some | tricky)
names = st.text("abcäß_ %", min_size=1, max_size=8)


@given(passwords, names)
def test_a_url_loses_its_password_and_keeps_the_rest(password: str, user: str) -> None:
    account = f"{quote(user, safe='')}:{quote(password, safe='')}"
    said = redact(f"cannot reach postgresql://{account}@db.example:5432/shop?sslmode=require at all")
    assert said == (
        f"cannot reach postgresql://{quote(user, safe='')}:{HIDDEN}@db.example:5432/shop"
        "?sslmode=require at all"
    )


@given(passwords, st.sampled_from(["password", "sslpassword"]))
def test_a_query_parameter_loses_its_password_and_keeps_its_neighbours(password: str, key: str) -> None:
    said = redact(f"postgresql://db/shop?user=ann&{key}={quote(password, safe='')}&sslmode=require")
    assert said == f"postgresql://db/shop?user=ann&{key}={HIDDEN}&sslmode=require"


@given(passwords)
def test_a_conninfo_string_loses_its_password(password: str) -> None:
    conninfo = make_conninfo("", host="db", password=password, dbname="shop")
    said = redact(f"tried {conninfo}")
    assert SECRET not in said
    assert "host=db" in said
    assert HIDDEN in said


@given(passwords)
def test_a_conninfo_string_inside_a_statement_loses_its_password(password: str) -> None:
    conninfo = make_conninfo("", host="db", password=password)
    literal = sql.Literal(conninfo).as_string()
    said = redact(f"create subscription s connection {literal} publication p")
    assert SECRET not in said
    assert said.startswith("create subscription s connection")


@given(passwords, st.sampled_from(["password {}", "PASSWORD {}", "encrypted password  {}"]))
def test_a_statement_loses_its_password(password: str, clause: str) -> None:
    statement = "alter role ann " + clause.format(sql.Literal(password).as_string().strip()) + " login"
    said = redact(statement)
    assert SECRET not in said
    assert said.endswith(f"'{HIDDEN}' login")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://ann:Hunter2@db/s", f"postgresql+psycopg://ann:{HIDDEN}@db/s"),
        ("postgresql://:Hunter2@db/s", f"postgresql://:{HIDDEN}@db/s"),
        ("postgresql://ann:Hun@ter2@db/s", f"postgresql://ann:{HIDDEN}@db/s"),
        ("'host=db password=Hunter2'", f"'host=db password={HIDDEN}'"),
        ("host=db password = Hunter2 dbname=s", f"host=db password = {HIDDEN} dbname=s"),
        ("password='a Hunter2' host=db", f"password={HIDDEN} host=db"),
        ("PGPASSWORD=Hunter2 pg_dump", f"PGPASSWORD={HIDDEN} pg_dump"),
        ("SCRAM-SHA-256$4096:salt$stored:server", HIDDEN),
        ("md5" + "0123456789abcdef" * 2, HIDDEN),
    ],
)
def test_every_way_to_write_a_password_is_known(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "",
        "postgresql://ann@db.example:5432/shop",
        "the password is wrong",
        'FATAL:  password authentication failed for user "ann"',
        "host=db port=5432 dbname=shop user=ann",
        "ratio 3:4 @ noon",
    ],
)
def test_what_holds_no_password_stays_as_it_is(text: str) -> None:
    assert redact(text) == text


@given(st.text(max_size=200))
def test_redacting_twice_is_redacting_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)
