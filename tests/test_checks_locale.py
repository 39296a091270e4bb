"""What checks find about encodings, locales, collations and money."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.findings import execute
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.findings import Findings


def test_another_provider_is_told_with_the_statement_that_creates_the_destination_anew(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    new_database: Callable[..., str],
    look: Callable[..., Findings],
) -> None:
    name = 'Neu "1"'
    built_in = {"template": "template0", "encoding": "UTF8", "locale_provider": "builtin"}
    other = new_database(destination_cluster, name, builtin_locale="C", locale="C", **built_in)
    found = look(source_database, other)
    assert found.of("encoding") == [("warn", "destination")], "the same order, and not the same upper case"
    prefix = "from another database of the destination: "
    (fix,) = found.fixes("encoding")
    assert fix.startswith(prefix + 'drop database "Neu ""1""";')
    for statement in fix.removeprefix(prefix).split("; "):
        execute(destination_cluster.url("postgres"), statement)
    assert look(source_database, other).of("encoding") == []


def test_collations_that_the_destination_does_not_have(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    execute(
        source_database,
        "create collation \"My own\" (provider = libc, locale = 'C.UTF-8')",
        'create table t (id int primary key, a text collate "C.utf8", b text collate "My own")',
        'create table bounds (a text collate "C.utf8" primary key) partition by range (a)',
    )
    nothing = look(source_database, destination_database)
    assert nothing.of("missing_collations") + nothing.of("collation_versions") == []
    # As on a host that has other locales, and a libc whose order changes.
    execute(
        source_database,
        "update pg_collation set collcollate = 'xx_YY.utf8' where collname in ('My own', 'C.utf8')",
    )
    found = look(source_database, destination_database)
    assert found.of("missing_collations") == [("block", 'public."My own"')]
    assert "no locale xx_YY.utf8" in found.text("missing_collations")
    assert found.of("collation_versions") == [("warn", "public.bounds")]
    execute(source_database, "update pg_collation set collname = 'xx_YY' where collname = 'C.utf8'")
    found = look(source_database, destination_database)
    assert found.of("missing_collations") == [("block", 'pg_catalog."xx_YY"'), ("block", 'public."My own"')]
    execute(source_database, "drop table t, bounds", 'drop collation "My own"')
    cleared = look(source_database, destination_database)
    assert cleared.of("missing_collations") + cleared.of("collation_versions") == []


def test_versions_of_collations_that_are_not_those_they_were_made_with(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    new_database: Callable[..., str],
    look: Callable[..., Findings],
) -> None:
    built_in = source_cluster.major >= 17
    locale = "provider = builtin, locale = 'C'" if built_in else "provider = icu, locale = 'und'"
    execute(
        source_database,
        f'create collation "As made" ({locale})',
        'create table t (id int primary key, a text collate "As made")',
        "update pg_collation set collversion = '0' where collname = 'As made'",
    )
    there = new_database(
        destination_cluster,
        template="template0",
        locale_provider="builtin",
        builtin_locale="C.UTF-8",
        locale="C",
    )
    execute(there, "update pg_database set datcollversion = '0' where datname = current_database()")
    found = look(source_database, there)
    assert found.of("collation_versions") == [("warn", "destination"), ("warn", 'public."As made"')]
    found.repair("collation_versions")
    execute(source_database, 'alter collation "As made" refresh version')
    assert look(source_database, there).of("collation_versions") == []


def test_money_that_is_written_in_a_way_that_the_destination_does_not_know(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    database = source_database.rpartition("/")[2]
    execute(
        source_database,
        "create domain price as money",
        'create table "Prices" (id int primary key, "P" price[])',
    )
    assert look(source_database, destination_database).of("money_locale") == []
    # A server whose host has the locale would have accepted it.
    with connect(source_database) as connection:
        connection.execute(
            "insert into pg_db_role_setting select oid, 0, array['lc_monetary=xx_YY.utf8']"
            " from pg_database where datname = current_database()"
        )
    found = look(source_database, destination_database)
    assert found.of("money_locale") == [("block", "lc_monetary")]
    assert 'public."Prices" is written by xx_YY.utf8' in found.text("money_locale")
    execute(source_database, f"alter database {database} reset lc_monetary")
    assert look(source_database, destination_database).of("money_locale") == []
