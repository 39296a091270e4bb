"""Preflight finds the roles that are not on the destination what they are on the source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fixtures.findings import execute
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.findings import Findings

APP, GROUP, ALIEN = 'App "1"', "Reader's", "alien"


@pytest.fixture
def both(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
) -> Iterator[list[str]]:
    """The two databases, with a group on both that is granted something on the source, and a role alone."""
    urls = [source_database, destination_database]
    for url in urls:
        execute(url, 'create role "Reader\'s"')
    execute(source_database, "create table t (id int primary key)", 'grant select on t to "Reader\'s"')
    yield urls
    for url in urls:
        with connect(url) as connection:
            connection.execute('drop owned by "Reader\'s"')
            for role in (APP, GROUP, ALIEN, "over"):
                connection.execute(f'drop role if exists "{role.replace(chr(34), chr(34) * 2)}"'.encode())
            connection.execute("alter role all reset all")


def test_members_of_roles_that_are_missing(both: list[str], look: Callable[..., Findings]) -> None:
    source, destination = both
    execute(
        source,
        'create role "App ""1""" login createdb',
        'grant "Reader\'s" to "App ""1""" with admin option',
        "create role over",
        'grant over to "App ""1"""',
        'grant pg_monitor to "App ""1"""',
        # Has to do with other databases only.
        "create role alien login",
    )
    found = look(*both)
    assert found.of("missing_roles") == [("warn", APP), ("warn", "over")]
    assert found.fixes("missing_roles")[0] == 'create role "App ""1""" createdb login;'
    assert found.of("role_members") == [
        ("warn", '"App ""1""" in "Reader\'s"'),
        ("warn", '"App ""1""" in "over"'),
        ("warn", '"App ""1""" in "pg_monitor"'),
    ]
    found.repair("missing_roles", "role_members")
    assert look(*both).found == ()
    execute(destination, 'revoke admin option for "Reader\'s" from "App ""1"""')
    found = look(*both)
    assert found.of("role_members") == [("warn", '"App ""1""" in "Reader\'s"')]
    assert "has not the option admin" in found.text("role_members")
    found.repair("role_members")
    assert look(*both).found == ()


def test_options_of_memberships(
    source_cluster: EmbeddedServer, both: list[str], look: Callable[..., Findings]
) -> None:
    given = "with inherit true, set false" if source_cluster.major >= 16 else ""
    execute(both[0], 'create role "App ""1""" noinherit', f'grant "Reader\'s" to "App ""1""" {given}')
    found = look(*both)
    found.repair("missing_roles", "role_members")
    assert look(*both).found == ()
    if given:
        assert found.fixes("role_members") == [
            'grant "Reader\'s" to "App ""1""" with admin false, inherit true, set false;'
        ]


def test_roles_that_may_do_less_on_the_destination(both: list[str], look: Callable[..., Findings]) -> None:
    source, destination = both
    execute(
        source,
        'create role "App ""1""" login createrole bypassrls connection limit 9 valid until \'2100-01-01\'',
        'grant "Reader\'s" to "App ""1"""',
    )
    execute(
        destination,
        'create role "App ""1""" noinherit connection limit 2 valid until \'2001-01-01\'',
        'grant "Reader\'s" to "App ""1""" with inherit true'
        if _is_new(destination)
        else 'grant "Reader\'s" to "App ""1"""',
        'alter role "Reader\'s" createdb',
    )
    found = look(*both)
    assert found.of("role_attributes") == [("warn", APP)], "more than on the source is not told"
    assert (
        "createrole, login, bypassrls, inherit, connection limit 9, valid until '2100-01-01 00:00:00+00:00'"
        in (found.text("role_attributes"))
    )
    found.repair("role_attributes")
    assert look(*both).found == ()


def _is_new(url: str) -> bool:
    with connect(url) as connection:
        return connection.info.server_version >= 160000


def test_settings_and_passwords_that_are_not_copied(both: list[str], look: Callable[..., Findings]) -> None:
    source, destination = both
    for url in both:
        execute(url, 'create role "App ""1""" login', 'grant "Reader\'s" to "App ""1"""')
    execute(
        source,
        'alter role "App ""1""" set search_path = "$user", \'Sche"ma\', public',
        'alter role "App ""1""" set "my.Own" = \'a \'\'b\'\'\'',
        'alter role "App ""1""" set work_mem = \'8MB\'',
        "alter role all set lc_time = 'POSIX'",
        'alter role "App ""1""" password \'s3cr3t\'',
        "alter role \"Reader's\" password 'unused'",
    )
    execute(destination, 'alter role "App ""1""" set work_mem = \'4MB\'')
    found = look(*both)
    app = '"App ""1"""'
    names = ["my.Own", "search_path", "work_mem"]
    wanted = [("warn", f"{app}: {name}") for name in names] + [("warn", "all: lc_time")]
    assert found.of("role_settings") == wanted
    assert "4MB on the destination" in found.text("role_settings")
    assert found.of("role_passwords") == [("warn", APP)]
    assert "s3cr3t" not in repr(found.found)
    assert "SCRAM" not in repr(found.found)
    found.repair("role_settings")
    execute(destination, 'alter role "App ""1""" password \'another\'')
    assert look(*both).found == ()
    with connect(source) as one, connect(destination) as other:
        here, there = ([sorted(row) for (row,) in c.execute(SET, [APP])] for c in (one, other))
    assert here == there


SET = "select setconfig from pg_db_role_setting s join pg_roles r on r.oid = s.setrole where rolname = %s"


def test_a_setting_that_the_destination_does_not_know(both: list[str], look: Callable[..., Findings]) -> None:
    with connect(both[0]) as source, connect(both[1]) as destination:
        names = [
            {name for (name,) in c.execute("select name from pg_settings where context = 'user'")}
            for c in (source, destination)
        ]
        gone = sorted(names[0] - names[1])
        for name in gone:
            source.execute(f'alter role "Reader\'s" set {name} from current'.encode())
    found = look(*both)
    assert found.of("role_settings") == [("warn", f'"Reader\'s": {name}') for name in gone]
    found.repair("role_settings")
    for name, fix in zip(gone, found.fixes("role_settings"), strict=True):
        assert f"does not know {name}" in fix


def test_roles_that_could_not_write_there(both: list[str], look: Callable[..., Findings]) -> None:
    destination = both[1]
    for url in both:
        execute(url, 'create role "App ""1""" login', "create role alien login")
        execute(url, "alter role alien set default_transaction_read_only = on")
    execute(
        destination,
        "create role over login",
        "alter role over set default_transaction_read_only = on",
        'alter role "App ""1""" set default_transaction_read_only = true',
        "alter role all set default_transaction_read_only = on",
    )
    found = look(*both)
    assert found.of("read_only_defaults") == [("block", '"App ""1"""'), ("block", "all")]
    found.repair("read_only_defaults")
    assert look(*both).of("read_only_defaults") == []


def test_what_a_role_lacks_that_is_no_superuser(both: list[str], look: Callable[..., Findings]) -> None:
    execute(
        both[0],
        "create schema closed",
        'create table closed."T 1" (id serial primary key)',
        "alter table t enable row level security",
    )
    for url in both:
        execute(url, 'create role "App ""1""" login', 'grant "Reader\'s" to "App ""1"""')
    urls = [url.replace("//postgres@", "//App%20%221%22@") for url in both]
    found = look(*urls)
    assert found.of("privileges") == [("block", "destination"), ("block", "source")]
    lacking = found.text("privileges").splitlines()[1]
    for part in (
        "replication",
        "create on the database",
        "usage on schemas (1, closed for one)",
        'select on tables (1, closed."T 1" for one)',
        'select on sequences (1, closed."T 1_id_seq" for one)',
        'the ownership of tables (2, closed."T 1" for one)',
        "bypassrls, for tables with policies (1, public.t for one)",
    ):
        assert part in lacking
    assert ("block", "source") in found.of("role_passwords"), "what may not be seen is a finding"
    for url, fix in zip(reversed(both), found.fixes("privileges"), strict=True):
        execute(url, fix)
    assert look(*urls).of("privileges") == []
