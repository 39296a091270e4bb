"""What belongs to the database as a whole is copied, and given back by a rollback."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from tests.fixtures.roles import ensure_roles
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.servers import EmbeddedServer
    from tests.fixtures.project import Project

ROLES = ("db owner", "db_reader", 'db "quoted" role')

PROPERTIES = """
alter database {d} owner to "db owner";
comment on database {d} is E'it''s\\nthe \\\\ one $$ %s {{}}';
alter database {d} connection limit 77;
revoke all on database {d} from public;
revoke create on database {d} from "db owner";
grant connect on database {d} to db_reader with grant option;
set role db_reader;
grant connect on database {d} to "db ""quoted"" role";
reset role;
grant temporary, create on database {d} to "db ""quoted"" role";
alter database {d} set search_path = public, "Quoted, ""x"" y", "$user", 'it''s', '';
alter database {d} set application_name = '';
alter database {d} set work_mem = '5MB';
alter database {d} set DateStyle = 'German, DMY';
alter database {d} set custom.guc = 'it''s \\ "%s" {{}} =, -- x';
alter database {d} set "My.Case" = 'x';
alter database {d} set statement_timeout = 12345;
alter database {d} set lock_timeout = '1ms';
alter database {d} set idle_in_transaction_session_timeout = '1ms';
alter database {d} set temp_tablespaces = '';
alter database {d} set default_transaction_isolation = 'serializable';
alter role "db owner" in database {d} set search_path = "db owner", pg_catalog;
alter role "db ""quoted"" role" in database {d} set custom.guc = 'other';
alter role db_reader in database {d} set role = 'db_reader';
create table t (id int primary key);
insert into t values (1);
"""
# What the destination has before: some of it is overwritten, some is in the way.
BEFORE = """
alter database {d} owner to db_reader;
comment on database {d} is 'before';
alter database {d} connection limit 99;
grant create on database {d} to "db owner";
alter database {d} set work_mem = '7MB';
alter database {d} set search_path = '';
alter database {d} set maintenance_work_mem = '70MB';
alter role "db owner" in database {d} set work_mem = '8MB';
"""

FACTS = {
    "owner, limit, comment": """
        select pg_get_userbyid(datdba)::text, datconnlimit, shobj_description(oid, 'pg_database')
        from pg_database where datname = current_database()""",
    "grants": """
        select grantor::regrole::text, case grantee when 0 then '' else grantee::regrole::text end,
               privilege_type, is_grantable
        from pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba)))
        where datname = current_database() order by 1, 2, 3""",
    "settings": """
        select case setrole when 0 then '' else setrole::regrole::text end, c
        from pg_db_role_setting s
        join pg_database d on d.oid = setdatabase
        cross join unnest(setconfig) c
        where datname = current_database() and c !~ '^default_transaction_read_only='
        order by 1, 2""",
}


def execute(url: str, text: str) -> None:
    name = url.rpartition("/")[2]
    with connect(url) as connection:
        for statement in sql.SQL(text).format(d=sql.Identifier(name)).as_string().split(";\n"):
            connection.execute(statement.encode())


def facts(url: str) -> dict[str, list[Any]]:
    with connect(url) as connection:
        return {what: connection.execute(query.encode()).fetchall() for what, query in FACTS.items()}


def test_the_database_properties_are_copied_and_given_back(
    source_cluster: EmbeddedServer,
    destination_cluster: EmbeddedServer,
    source_database: str,
    destination_database: str,
    project: Callable[..., Project],
) -> None:
    ensure_roles([source_cluster, destination_cluster], *ROLES)
    execute(source_database, PROPERTIES)
    execute(destination_database, BEFORE)
    source, before = facts(source_database), facts(destination_database)
    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "schema_copied", "--yes")
    # Timeouts and roles would act on the stream's worker too: they come when the application does.
    early = [s for s in source["settings"] if "timeout=" not in s[1] and not s[1].startswith("role=")]
    now = facts(destination_database)
    assert now.pop("settings") == early
    assert now.items() < source.items()

    moved.run("rollback-to", "planned", "--yes")
    assert facts(destination_database) == before

    moved.run("advance", "--to", "cleaned", "--yes")
    assert facts(destination_database) == source
    assert facts(source_database) == source
    read_only = "select current_setting('default_transaction_read_only')"
    with connect(destination_database, options="") as connection:
        assert connection.execute(read_only).fetchone() == ("off",)
    with connect(source_database, options="") as connection:
        assert connection.execute(read_only).fetchone() == ("on",)


def test_settings_that_would_stop_a_session_do_not_stop_the_migration(
    source_database: str, destination_database: str, project: Callable[..., Project]
) -> None:
    execute(source_database, "create table t (id int primary key)")
    execute(source_database, "create materialized view slow as select 1 as one from pg_sleep(0.7)")
    for url in (source_database, destination_database):
        execute(
            url,
            "alter database {d} set statement_timeout = '500ms';\n"
            "alter database {d} set lock_timeout = '1ms';\n"
            "alter database {d} set idle_in_transaction_session_timeout = '1ms';\n"
            "alter database {d} set client_encoding = 'LATIN1';\n"
            "alter database {d} set search_path = 'nowhere';\n"
            "alter database {d} set row_security = off;\n"
            "alter database {d} set default_transaction_read_only = on;\n"
            "alter database {d} set session_replication_role = replica",
        )
    moved = project(source_database, destination_database)
    moved.run("plan", "--yes")
    moved.run("advance", "--to", "cleaned", "--yes")
