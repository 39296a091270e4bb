"""What checks find about tables and sequences: identities, partitions, triggers, references, room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.findings import execute
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.findings import Findings

T = '"S 1"."T""x"'


def test_triggers_that_fire_for_replicated_changes_and_those_that_only_seem_to(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create schema "S 1"',
        f"create table {T} (id int primary key)",
        'create table "S 1".root (id int primary key) partition by range (id)',
        'create table "S 1".leaf partition of "S 1".root default',
        "create function f() returns trigger language plpgsql as 'begin return new; end'",
        f'create trigger "a B" before insert on {T} for each row execute function f()',
        f"create trigger emptied after truncate on {T} execute function f()",
        f"create trigger told after insert on {T} execute function f()",
        'create trigger below before insert on "S 1".root for each row execute function f()',
        f'alter table {T} enable always trigger "a B", enable replica trigger emptied',
        f"alter table {T} enable always trigger told",
        'alter table "S 1".root enable always trigger below',
        'alter table "S 1".leaf enable always trigger below',
        f'create rule "r R" as on delete to {T} do also notify deleted',
        f'alter table {T} enable replica rule "r R"',
    )
    found = look(source_database, destination_database)
    assert found.of("always_triggers") == [
        ("block", f'{T}."a B"'),
        ("block", f"{T}.emptied"),
        ("block", '"S 1".leaf.below'),
        ("block", '"S 1".root.below'),
    ]
    found.repair("always_triggers")
    assert look(source_database, destination_database).of("always_triggers") == []


def test_identities_that_cannot_be(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        # A key over a generated column is none, and no way out; of others the smallest is.
        'create table "Gen" (id int not null, g int not null generated always as (id) stored, unique (g))',
        'create unique index wide on "Gen" (id, g)',
        "create table broken (id int not null, a int not null)",
        "create unique index broken_both on broken (a, id)",
        'create unique index "broken One" on broken (id)',
        "create unique index invalid on broken (a)",
        "alter table broken replica identity using index invalid",
        "update pg_index set indisvalid = false where indexrelid = 'invalid'::regclass",
    )
    found = look(source_database, destination_database)
    assert found.of("replica_identity") == [("block", 'public."Gen"'), ("block", "public.broken")]
    assert found.fixes("replica_identity") == [
        'alter table public."Gen" replica identity full;',
        'alter table public.broken replica identity using index "broken One";',
    ]
    found.repair("replica_identity")
    assert look(source_database, destination_database).of("replica_identity") == []


def test_full_identities_whose_rows_cannot_be_told_apart_or_found(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    # A page has room for some twenty rows, so that few of them make a large table.
    rows = "with (fillfactor = 10) as select g from generate_series(1, 30000) g"
    execute(
        source_database,
        "create type pair as (a int, b json)",
        "create domain places as point[]",
        'create table "No =" (id int, "P" pair, q places, r int4range, s text[], t xid8, u cidr)',
        "create table keyed (id int primary key, j json)",
        "create table dropped (id int, j json, k json generated always as ('1'::json) stored)",
        "alter table dropped drop column j",
        f'create table "Large" {rows}',
        f"create table indexed {rows}",
        "create index on indexed (g)",
        f"create table hashed {rows}",
        "create index on hashed using hash (g)",
        f"create table expressed {rows}",
        "create index on expressed ((g + 1), g)",
        'analyze "Large"',
        *(
            f"alter table {t} replica identity full"
            for t in ('"No ="', "keyed", "dropped", '"Large"', "indexed", "hashed", "expressed")
        ),
    )
    found = look(source_database, destination_database)
    assert found.of("full_identity")[0] == ("block", 'public."No ="')
    assert '"P" (public.pair), q (public.places); the first' in found.text("full_identity")
    slow = {subject for severity, subject in found.of("full_identity") if severity == "warn"}
    expected = {'public."Large"', "public.expressed"}
    if source_cluster.major < 17:
        expected.add("public.hashed")
    if source_cluster.major < 16:
        expected.add("public.indexed")
        # Once the destination serves, nothing is streamed back to a source that cannot use an index.
        off = look(source_database, destination_database, cutover={"reverse": "off"})
        assert ("warn", "public.indexed") not in off.of("full_identity")
    assert slow == expected
    if source_cluster.major >= 16:
        assert 'create index concurrently on public."Large" (g);' in found.fixes("full_identity")
    found.repair("full_identity")
    execute(
        source_database,
        'alter table "No =" add primary key (id)',
        *(f"alter table {table} add column key serial primary key" for table in slow),
    )
    assert look(source_database, destination_database).of("full_identity") == []


def test_hash_partitions_of_what_hashes_otherwise_on_the_destination(
    source_database: str,
    destination_cluster: EmbeddedServer,
    destination_database: str,
    new_database: Callable[..., str],
    look: Callable[..., Findings],
) -> None:
    execute(
        source_database,
        "create type mood as enum ('sad', 'so-so')",
        "create domain some_mood as mood",
        'create table "By mood" (id int, "M" some_mood, primary key (id, "M")) partition by hash ("M")',
        'create table by_mood_0 partition of "By mood" for values with (modulus 1, remainder 0)',
        "create table by_text (id text primary key) partition by hash (id)",
        "create table by_text_0 partition of by_text for values with (modulus 1, remainder 0)",
        "create table by_list (m mood primary key) partition by list (m)",
        "create table by_list_sad partition of by_list for values in ('sad')",
    )
    found = look(source_database, destination_database)
    assert found.of("partition_keys") == [("block", 'public."By mood"')]
    assert '("M")' in found.text("partition_keys")
    leaving_out = {"exclude": ["public.by_mood_*"]}
    assert look(source_database, destination_database, tables=leaving_out).of("partition_keys") == []
    latin = new_database(destination_cluster, encoding="LATIN1", template="template0", locale="C")
    assert ("block", "public.by_text") in look(source_database, latin).of("partition_keys")
    execute(source_database, 'drop table "By mood"')
    assert look(source_database, destination_database).of("partition_keys") == []


def test_references_from_tables_that_stay(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create table "Inside" (id int primary key)',
        'create table "Out side" (id int primary key, "In" int constraint "in" references "Inside")',
        "create table parts (id int primary key) partition by range (id)",
        "create table part partition of parts default",
        'create table "Out too" (id int primary key references parts)',
    )
    staying = {"exclude": ["public.Out*"]}
    found = look(source_database, destination_database, tables=staying)
    assert found.of("outside_references") == [("warn", 'public."Out side"'), ("warn", 'public."Out too"')]
    assert 'refers to public."Inside" ("in")' in found.text("outside_references")
    assert look(source_database, destination_database).of("outside_references") == []


def test_sequences_that_the_shift_would_use_up(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create sequence "A seq"',
        "create table a (id int default nextval('\"A seq\"'), s smallserial, b bigserial)",
        "select setval('\"A seq\"', 2147483000), setval('a_s_seq', 31900), setval('a_b_seq', 2147483000)",
        "create sequence falling increment -5",
        "create table f (i int default nextval('falling'))",
        "select setval('falling', -2147483000)",
        "create sequence ends maxvalue 1500",
        "create sequence cycles maxvalue 3 cycle cache 2",
    )
    found = look(source_database, destination_database)
    assert found.of("sequence_room") == [
        ("block", 'public."A seq"'),
        ("block", "public.falling"),
        ("warn", "public.a_s_seq"),
        ("warn", "public.ends"),
    ]
    assert "feeds public.a.id (integer), which holds 647 more" in found.text("sequence_room")
    found.repair("sequence_room")
    found = look(source_database, destination_database)
    assert {severity for severity, _ in found.of("sequence_room")} == {"warn"}, "half of what is left is used"
    assert look(source_database, destination_database, sequences={"shift": 0}).of("sequence_room") == []
    execute(source_database, "alter table a alter id type bigint, alter s type bigint", "drop table f")
    execute(source_database, 'alter sequence "A seq" no maxvalue', "alter sequence a_s_seq as bigint")
    execute(source_database, "drop sequence falling, ends")
    assert look(source_database, destination_database).of("sequence_room") == []


def test_sequences_of_which_sessions_take_more_at_once_than_the_shift(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create sequence "Cached" cache 300 increment 2',
        "create sequence large cache 900 cycle",
        "create sequence alone cache 1 increment 5000",
    )
    assert look(source_database, destination_database).of("sequence_cache") == []
    with connect(source_database), connect(source_database):
        found = look(source_database, destination_database)
    assert found.of("sequence_cache") == [("warn", "sequences.shift")]
    assert found.fixes("sequence_cache") == ["[sequences] shift = 1200"]
    enough = {"shift": 1200}
    with connect(source_database), connect(source_database):
        found = look(source_database, destination_database, sequences=enough)
    assert found.of("sequence_cache") == []


def test_functions_that_rows_are_computed_by_which_name_things_without_a_schema(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create schema "S 1"',
        'create table "S 1".known (id int primary key)',
        'create function "S 1"."One more"(int) returns int language sql immutable as \'select $1 + 1\'',
        # Known by its name alone: by itself, and by another that calls it by its full name.
        'set search_path = "S 1", public',
        "create function public.plus(int) returns int language sql immutable"
        " as $$ select \"One more\"($1) -- known(x)\n where 'from known' <> 'x' $$",
        "create function public.plus_too(int) returns int language sql immutable as 'select public.plus($1)'",
        "create function public.fine(int) returns int language sql immutable"
        ' set search_path = "S 1" as \'select "One more"($1)\'',
        "create function public.exact(int) returns int language sql immutable"
        ' begin atomic select "S 1"."One more"($1); end',
        "create function public.is_known(int) returns bool language plpgsql stable"
        " as 'begin return exists (select from known where id = $1); end'",
        "create function public.unused(int) returns int language sql immutable as 'select \"One more\"($1)'",
        "create table public.t (id int primary key, n int generated always as (plus_too(id)) stored,"
        " m int generated always as (fine(id)) stored, o int check (exact(o) > 0),"
        ' k int constraint "K 1" check (is_known(k)))',
        "create domain public.known_id as int check (is_known(value))",
        "alter table public.t add constraint later check (is_known(id)) not valid",
    )
    found = look(source_database, destination_database)
    assert found.of("row_functions") == [
        ("block", "public.plus(integer)"),
        ("warn", "public.is_known(integer)"),
        ("warn", "public.known_id.known_id_check"),
        ("warn", 'public.t."K 1"'),
    ]
    told = found.text("row_functions")
    assert "generated column public.t.n, where the search path is empty, and names One more without" in told
    assert 'check public.t."K 1" calls public.is_known(integer), which reads' in told
    found.repair("row_functions")
    assert look(source_database, destination_database).of("row_functions") == []
