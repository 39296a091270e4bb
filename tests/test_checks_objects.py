"""What checks find about other objects: what needs a file, a library, a build, another server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fixtures.findings import execute
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.findings import Findings


def test_event_triggers_that_fire_for_migrator(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    execute(
        source_database,
        "create function f() returns event_trigger language plpgsql as 'begin end'",
        'create event trigger "E 1" on ddl_command_end execute function f()',
        'alter event trigger "E 1" enable always',
        "create event trigger plain on ddl_command_end execute function f()",
    )
    before = 17  # Since then our sessions have no event triggers.
    expected = [] if source_cluster.major >= before else [("warn", '"E 1"')]
    if source_cluster.major >= before:
        execute(source_database, 'create event trigger "at Login" on login execute function f()')
        expected = [("warn", '"at Login"')]
    found = look(source_database, destination_database)
    assert found.of("event_triggers") == expected
    found.repair("event_triggers")
    assert look(source_database, destination_database).of("event_triggers") == []


def test_what_reaches_out_of_the_database(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    execute(
        source_database,
        "create extension postgres_fdw",
        "create extension file_fdw",
        "create extension dblink",
        'create server "Else where" foreign data wrapper postgres_fdw'
        " options (host 'h.example', dbname 'x')",
        "create user mapping for public server \"Else where\" options (user 'u', password 'secret')",
        f"create server itself foreign data wrapper postgres_fdw"
        f" options (host '127.0.0.1', port '{source_cluster.port}')",
        "create foreign table far (id int) server itself"
        " options (schema_name 'pg_catalog', table_name 'pg_class')",
        "create user mapping for public server itself options (user 'postgres')",
        "create view near as select count(*) as n from far",
        'create materialized view "Kept" as select * from near with no data',
        "create server files foreign data wrapper file_fdw",
        "create foreign table \"Read\" (line text) server files options (filename '/nowhere/it''s')",
        "create foreign table \"Run\" (line text) server files options (program 'nowhere --with secret')",
        "create foreign table there (line text) server files options (filename '/etc/passwd')",
        "create function call_out() returns void language sql"
        " as $$ select dblink_connect('host=h.example') $$",
    )
    found = look(source_database, destination_database)
    assert found.of("foreign_servers") == [
        ("warn", '"Else where"'),
        ("warn", "dblink"),
        ("warn", "itself"),
        ("warn", 'public."Read"'),
        ("info", 'public."Run"'),
    ]
    told = found.text("foreign_servers")
    assert "1 user mappings with their passwords" in told
    assert "dbname=x host=h.example" in told
    assert "the server's own host" in told
    assert "reads file /nowhere/it's of" in told
    assert "reads program nowhere of" in told
    assert "public.call_out()" in told
    assert "secret" not in told + "".join(found.fixes("foreign_servers"))
    execute(source_database, "update pg_class set relispopulated = true where relname = 'Kept'")
    assert ("warn", 'public."Kept"') in look(source_database, destination_database).of("foreign_servers")
    execute(
        source_database,
        "drop function call_out()",
        'drop server "Else where", itself, files cascade',
    )
    assert look(source_database, destination_database).of("foreign_servers") == []


def test_security_labels_whose_provider_is_not_loaded(
    source_database: str,
    destination_cluster: EmbeddedServer,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    execute(
        source_database,
        "create table t (id int primary key)",
        # As a provider writes it, which would have to be loaded here, too.
        "insert into pg_seclabel values ('t'::regclass, 'pg_class'::regclass, 0, 'auto_explain', 'x')",
    )
    found = look(source_database, destination_database)
    assert found.of("security_labels") == [("block", "auto_explain")]
    database = destination_database.rpartition("/")[2]
    execute(destination_database, f"alter database {database} set session_preload_libraries = auto_explain")
    assert look(source_database, destination_database).of("security_labels") == []
    execute(destination_database, f"alter database {database} reset session_preload_libraries")
    execute(source_database, "delete from pg_seclabel")
    assert look(source_database, destination_database).of("security_labels") == []


def test_libraries_and_files_that_the_destinations_host_does_not_have(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    handler = "returns language_handler language c as '$libdir/plpgsql', 'plpgsql_call_handler'"
    execute(
        source_database,
        f'create function "Hand le"() {handler}',
        f"create function own() {handler}",
        'create text search dictionary "D 1" (template = synonym, synonyms = synonym_sample)',
        "create text search dictionary there (template = ispell, dictfile = ispell_sample,"
        " afffile = ispell_sample, stopwords = english)",
        "create text search dictionary words (template = thesaurus, dictfile = thesaurus_sample,"
        " dictionary = english_stem)",
    )
    nothing = look(source_database, destination_database)
    assert nothing.of("missing_libraries") + nothing.of("text_search_files") == []
    execute(
        source_database,
        "update pg_proc set probin = 'no \"such\" one' where proname = 'Hand le'",
        "update pg_ts_dict set dictinitoption = 'synonyms = ''nowhere''' where dictname = 'D 1'",
    )
    found = look(source_database, destination_database)
    assert found.of("missing_libraries") == [("block", 'no "such" one')]
    assert 'public."Hand le"()' in found.text("missing_libraries")
    assert found.of("text_search_files") == [("block", 'public."D 1"')]
    assert "/tsearch_data/nowhere.syn" in found.text("text_search_files")
    execute(source_database, 'drop function "Hand le"()', 'drop text search dictionary "D 1"')
    cleared = look(source_database, destination_database)
    assert cleared.of("missing_libraries") + cleared.of("text_search_files") == []


def test_tablespaces(
    source_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    look: Callable[..., Findings],
) -> None:
    database = source_database.rpartition("/")[2]
    with connect(source_database) as connection:
        connection.execute("set allow_in_place_tablespaces = on")
        if not connection.execute("select from pg_tablespace where spcname = 'Fast one'").rowcount:
            connection.execute("create tablespace \"Fast one\" location ''")
    execute(
        source_database,
        'create table t (id int primary key using index tablespace "Fast one") tablespace "Fast one"',
        f'alter database {database} set temp_tablespaces = "Fast one", pg_default',
    )
    found = look(source_database, destination_database)
    assert found.of("tablespaces") == [("warn", '"Fast one"'), ("warn", "temp_tablespaces=Fast one")]
    assert "1 tables and 1 indexes" in found.text("tablespaces")
    execute(source_database, "drop table t", f"alter database {database} reset temp_tablespaces")
    assert look(source_database, destination_database).of("tablespaces") == []


def test_extensions_that_are_older_there_and_rows_in_their_tables(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        "create extension citext",
        "create extension hstore",
        "update pg_extension set extversion = '99.10' where extname = 'citext'",
        "update pg_extension set extversion = '0.9' where extname = 'hstore'",
        'create table "Jobs" (id int primary key)',
        'alter extension citext add table "Jobs"',
        # What the extension's own script does with pg_extension_config_dump().
        "update pg_extension set extconfig = array['\"Jobs\"'::regclass::oid],"
        " extcondition = array['where id > 5'] where extname = 'citext'",
        'insert into "Jobs" values (1)',
    )
    found = look(source_database, destination_database)
    assert found.of("missing_extensions") == [("info", "hstore"), ("warn", "citext")][::-1]
    assert "citext is 99.10 here and only" in found.text("missing_extensions")
    assert found.of("extension_tables") == [], "the extension's own rows"
    execute(source_database, 'insert into "Jobs" values (6)')
    found = look(source_database, destination_database)
    assert found.of("extension_tables") == [("warn", 'public."Jobs"')]
    execute(source_database, 'delete from "Jobs"', "drop extension citext", "drop extension hstore")
    cleared = look(source_database, destination_database)
    assert cleared.of("missing_extensions") + cleared.of("extension_tables") == []


def test_extensions_whose_tables_are_more_than_tables(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        "create extension citext",
        "update pg_extension set extname = 'timescaledb' where extname = 'citext'",
        "create schema _timescaledb_internal",
        "create table _timescaledb_internal._hyper_1_1_chunk (id int primary key)",
        'create table "Spread" (id int primary key)',
        "set allow_system_table_mods = on; create table pg_catalog.pg_dist_partition as"
        " select '\"Spread\"'::regclass::oid as logicalrelid",
    )
    found = look(source_database, destination_database)
    assert found.of("unmovable_extensions") == [("block", 'public."Spread"'), ("block", "timescaledb")]
    execute(
        source_database,
        "drop table pg_catalog.pg_dist_partition",
        "drop schema _timescaledb_internal cascade",
    )
    assert look(source_database, destination_database).of("unmovable_extensions") == []


def test_an_extension_that_cannot_be_created_before_its_library_is_preloaded(
    source_database: str,
    destination_database: str,
    cluster_directory: Path,
    look: Callable[..., Findings],
) -> None:
    # The destination is led to believe that it could create it.
    directory = cluster_directory / "more" / "extension"
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "pg_cron.control").write_text("default_version = '1.6'\n")
    database = destination_database.rpartition("/")[2]
    execute(
        destination_database,
        f"alter database {database} set extension_control_path = '{directory.parent}:$system'",
    )
    execute(
        source_database,
        "create extension citext",
        "update pg_extension set extname = 'pg_cron', extversion = '1.6' where extname = 'citext'",
    )
    found = look(source_database, destination_database)
    assert found.of("missing_extensions") == [("block", "pg_cron")]
    assert found.fixes("missing_extensions") == [
        "alter system set shared_preload_libraries = 'pg_cron'; -- then restart the server"
    ]
    execute(
        source_database,
        "update pg_extension set extname = 'citext' where extname = 'pg_cron'",
        "drop extension citext",
    )
    assert look(source_database, destination_database).of("missing_extensions") == []


def test_jobs_inside_the_database(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    database = source_database.rpartition("/")[2]
    execute(
        source_database,
        "create schema cron",
        "create table cron.job (jobid bigint primary key, schedule text, command text, database text,"
        " active bool)",
        "insert into cron.job values"
        f" (3, '@daily', E'vacuum\\n full -- password=secret', '{database}', true),"
        f" (4, '@daily', 'x', '{database}', false), (5, '@daily', 'x', 'another', true)",
        "create schema pgagent",
        "create table pgagent.pga_job (jobid int primary key, jobname text, jobenabled bool)",
        "insert into pgagent.pga_job values (1, 'it''s \"one\"', true)",
        "create extension citext",
        "update pg_extension set extname = 'pg_partman' where extname = 'citext'",
        "create table part_config (parent_table text primary key)",
        "insert into part_config values ('public.events')",
    )
    there = destination_database.rpartition("/")[2]
    execute(destination_database, f"alter database {there} set cron.database_name = 'postgres'")
    found = look(source_database, destination_database)
    assert found.of("background_jobs") == [
        ("warn", "source: pg_cron job 3"),
        ("warn", "source: pg_partman"),
        ("warn", 'source: pgagent job it\'s "one"'),
        ("info", "destination: pg_cron"),
    ]
    assert "'vacuum full -- password=***' (@daily)" in found.text("background_jobs")
    assert "public.events" in found.text("background_jobs")
    execute(destination_database, f"alter database {there} reset cron.database_name")
    execute(source_database, "drop schema cron, pgagent cascade", "drop table part_config")
    execute(source_database, "update pg_extension set extname = 'citext' where extname = 'pg_partman'")
    assert look(source_database, destination_database).of("background_jobs") == []


def test_what_the_destination_is_not_built_with(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    with connect(destination_database) as there:
        lacks = there.execute(
            "select not 'lz4' = any (enumvals) from pg_settings where name = 'default_toast_compression'"
        ).fetchone() == (True,)
    database = source_database.rpartition("/")[2]
    execute(
        source_database,
        "create domain doc as xml",
        "create type docs as (list doc[])",
        'create table "X" (id int primary key, "D" docs, t text)',
        'create table small (id int primary key, "T" text compression lz4, u text compression lz4)',
        f"alter database {database} set default_toast_compression = lz4",
    )
    found = look(source_database, destination_database)
    if lacks:
        assert found.of("build_options") == [
            ("block", "default_toast_compression"),
            ("block", 'public."X"'),
            ("block", "public.small"),
        ]
        assert '"D"' in found.text("build_options")
    found.repair("build_options")
    execute(source_database, 'drop table "X"')
    assert look(source_database, destination_database).of("build_options") == []


def test_what_newer_versions_have_no_more(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    # Each is what an older version would let one make; here the catalogs are bent so that it is gone.
    execute(
        source_database,
        "create view activity as select wait_event as gone, pid from pg_stat_activity",
        "create function \"F 1\"() returns int language sql set work_mem = '5MB' as 'select 1'",
        "update pg_proc set proconfig = array['operator_precedence_warning=on'] where proname = 'F 1'",
        "create aggregate total (int) (sfunc = int4pl, stype = int)",
        "create table dated (id int primary key, at date)",
        "create function fac(int) returns int language sql as 'select $1'",
        "create operator !!! (rightarg = int, function = fac)",
        "update pg_operator set oprkind = 'r', oprleft = oprright, oprright = 0 where oprname = '!!!'",
        "update pg_attribute set attname = 'wait' where attname = 'wait_event'"
        " and attrelid = 'pg_stat_activity'::regclass",
        "update pg_proc set proname = 'int4add' where proname = 'int4pl'",
        "update pg_type set typname = 'abstime' where typname = 'date'",
    )
    found = look(source_database, destination_database)
    assert found.of("removed_features") == [
        ("block", "aggregate public.total(integer)"),
        ("block", 'function public."F 1"()'),
        ("block", "operator public.!!!(integer,NONE)"),
        ("block", "table public.dated"),
        ("block", "view public.activity"),
    ]
    told = found.text("removed_features")
    assert "column pg_catalog.pg_stat_activity.wait: gone" in told
    assert "type abstime" in told
    assert "setting operator_precedence_warning" in told
    assert "function int4add(integer,integer)" in told
    found.repair("removed_features")
    execute(
        source_database,
        "drop aggregate total (int)",
        'drop function "F 1"()',
        "drop table dated",
        "drop view activity",
    )
    assert look(source_database, destination_database).of("removed_features") == []


def test_indexes_that_are_not_valid(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create table "T" (id int primary key)',
        'create index "Half made" on "T" (id)',
        "update pg_index set indisvalid = false where indexrelid = '\"Half made\"'::regclass",
        "create table root (id int primary key) partition by range (id)",
        "create index on only root (id)",
    )
    found = look(source_database, destination_database)
    assert found.of("invalid_indexes") == [("info", 'public."Half made"')]
    found.repair("invalid_indexes")
    assert look(source_database, destination_database).of("invalid_indexes") == []


def test_tables_of_another_access_method(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        "create function other(internal) returns table_am_handler language internal"
        " as 'heap_tableam_handler'",
        'create access method "Column ar" type table handler other',
        "create access method same type table handler heap_tableam_handler",
        'create table "Odd" (id int primary key) using "Column ar"',
        "create table even (id int primary key) using same",
    )
    found = look(source_database, destination_database)
    assert found.of("table_access_methods") == [("warn", 'public."Odd"')]
    found.repair("table_access_methods")
    assert look(source_database, destination_database).of("table_access_methods") == []


def test_objects_among_postgresqls_own(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        "create function pg_catalog.\"My Own\"(int) returns int language sql as 'select $1'",
        'create operator pg_catalog.!!! (rightarg = int, function = pg_catalog."My Own")',
        "create domain information_schema.mine as int",
    )
    found = look(source_database, destination_database)
    assert found.of("objects_in_pg_catalog") == [
        ("warn", "information_schema.mine"),
        ("warn", "pg_catalog.!!!(NONE,integer)"),
        ("warn", 'pg_catalog."My Own"(integer)'),
    ]
    found.repair("objects_in_pg_catalog")
    assert look(source_database, destination_database).of("objects_in_pg_catalog") == []


def test_values_that_mean_something_to_one_cluster_alone(
    source_database: str, destination_database: str, look: Callable[..., Findings]
) -> None:
    execute(
        source_database,
        'create table "Out box" (id int primary key, "By" xid8[], at pg_lsn)',
        "create table queue (id bigint primary key default txid_current(), n int default 1)",
        "create table plain (id int primary key, n oid)",
    )
    found = look(source_database, destination_database)
    assert found.of("cluster_bound_values") == [("warn", 'public."Out box"'), ("warn", "public.queue")]
    assert '"By" (xid8[]), at (pg_lsn)' in found.text("cluster_bound_values")
    execute(source_database, 'drop table "Out box", queue')
    assert look(source_database, destination_database).of("cluster_bound_values") == []
