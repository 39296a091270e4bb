"""A definition of the new cluster is loaded, and the new cluster is like the old one."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from psycopg import sql

from migrator.app import App
from migrator.cli.main import run
from migrator.connections import observer
from migrator.demo.host import spawn_options
from migrator.demo.servers import EmbeddedServer, find_binaries
from migrator.manual.definition import definition, read_inventory
from migrator.manual.plain_hba import usable
from tests.fixtures import pigsty
from tests.fixtures.servers import TEST_SETTINGS, connect, psql_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from migrator.manual.inventory import Database, Hba, Inventory, Role, Users
    from tests.fixtures.project import Project

SECRET = "Gn0m0nX"
OLD_NAME = """Shop "x" it's"""
# With everything that psql could stumble over, and a line break.
NEW_NAME = 'New "shop"\nit\'s \\ :x {{y}}'
ODD = ['Odd "Name"', "it's", "UPPER", "two\nlines", "größe ñ", "back\\slash\ttab", "{{ jinja }}", "n" * 63]
PLAIN = [
    "a_member",
    "app.owner",
    "app_ro",
    "app_rw",
    "app_user",
    "reporting",
    "z_group",
    "expired",
    "replicator",
]

STATEMENTS = '''
alter role "app.owner" login createdb connection limit 7 password 'Gn0m0nX'
alter role app_user login password 'Gn0m0nX' valid until '2030-01-02 03:04:05+02'
alter role expired login valid until '2001-02-03 00:00:00+00'
alter role reporting login superuser createrole replication bypassrls noinherit valid until 'infinity'
alter role "UPPER" login connection limit 0 valid until '-infinity'
alter role "it's" valid until '0044-03-15 00:00:00+00 BC'
alter role z_group valid until '12345-01-01 00:00:00+00'
comment on role app_user is 'it''s "the" \\ application
in two lines, größer'
comment on role app_ro is '{{ looks like a template }}'
comment on role "{{ jinja }}" is 'b'
alter role app_user set search_path to 'S 1', '$user', 'public', 'with,comma', 'with"quote'
alter role app_user set application_name to ''
alter role app_user set "app.mode" to 'it''s "x" {{ y }}'
alter role app_user set "app.default" to 'default'
alter role app_user set work_mem to '64MB'
alter role app_ro set search_path to ''
alter role app_ro set temp_tablespaces to ''
alter role app_ro set "DateStyle" to 'German, DMY'
alter role "two\nlines" set search_path to 'two
lines', ''
alter role app_user in database {db} set work_mem to '5MB'
alter role "Odd ""Name""" in database {db} set search_path to 'S 1', ''
alter role app_user in database postgres set statement_timeout to '5s'
grant app_ro to app_rw
grant app_rw to app_user
grant pg_monitor to app_user
grant z_group to a_member
grant app_ro to "Odd ""Name""" with admin option
grant "Odd ""Name""" to app_user
grant app_ro to reporting with admin option
grant "two\nlines" to "it's"
grant app_ro to replicator
grant app_ro to pg_signal_backend
alter role replicator set statement_timeout to '1min'
alter database {db} set search_path to 'S 1', 'public'
alter database {db} set "app.text" to 'it''s'
alter database {db} set default_transaction_read_only to 'off'
alter database {db} connection limit 90
alter database {db} owner to "app.owner"
comment on database {db} is 'the "shop", it''s'
revoke connect on database {db} from public
'''.replace("\\n", "\n")
WITH_OPTIONS = """
grant app_rw to "UPPER" with inherit false
grant app_rw to a_member with set false
grant app_rw to "größe ñ" with admin true, inherit false, set false
grant app_ro to reporting with inherit true
grant app_ro to a_member with inherit false, set false
grant app_ro to a_member with inherit true granted by reporting
"""
INSIDE = '''
create schema "S 1" authorization "Odd ""Name"""
create schema app
create schema "two
lines" authorization app_ro
alter schema public owner to app_rw
create extension citext with schema app
create extension cube with schema "S 1"
create extension earthdistance with schema "S 1"
'''
HBA = '''
local   all             all                                     trust
local   "all"           "Odd ""Name"""  peer map=m
local   sameuser,samerole,replication +app_ro,"+a b",+"with space","it's" scram-sha-256
host    all             all             127.0.0.1/32            trust
host    all             all             ::1/128                 trust
host    "S, 1","#x"     app_user        10.1.2.3 255.255.255.0  scram-sha-256
host    a               "@file"         10.0.0.0 255.0.255.0    md5
host    replication     replicator      10.0.0.0/8              reject
host    all             all             samehost                md5
host    all             all             samenet                 ident map="my map"
host    all             all             .example.com            scram-sha-256
host    all             all             all                     scram-sha-256
host    all             all             fe80::/10               password
hostssl all             all             0.0.0.0/0               scram-sha-256
hostssl all             all             all                     md5 clientcert=verify-ca
hostssl all             all             192.168.0.0/16          md5
hostnossl all           all             0.0.0.0/0               reject
hostgssenc all          all             0.0.0.0/0               trust
hostnogssenc all        "{{ jinja }}"   1.2.3.4/32              trust
host    all all 0.0.0.0/0 radius radiusservers="127.0.0.1,::1" radiussecrets="""Gn0m0nX"",""b"""
'''
WITH_REGULAR_EXPRESSIONS = r"""
host    /^db_\d+$       "/^a, b$"       10.0.0.0/8              scram-sha-256
"""
ONLY_HERE = """
hostssl all             all             10.0.0.0/8              cert
hostssl all             all             10.0.0.0/8              cert clientcert=verify-full map=x
host    all             all             10.0.0.0/8              gss include_realm=0 krb_realm=X
host    all             all             10.0.0.0/8              gss
host    all             all             10.0.0.0/99             trust
nonsense
"""


@pytest.fixture(scope="module")
def source(source_cluster: EmbeddedServer) -> Iterator[str]:
    """The URL of a database with all of the above around it; goes with its roles at the end."""
    builtin = {"locale_provider": "builtin", "builtin_locale": "C.UTF-8", "template": "template0"}
    url = source_cluster.create_database(OLD_NAME, **(builtin if source_cluster.major >= 17 else {}))
    names = [*PLAIN, *ODD]
    database = sql.Identifier(OLD_NAME).as_string()
    statements = STATEMENTS + (WITH_OPTIONS if source_cluster.major >= 16 else "")
    with connect(url) as connection:
        connection.execute("set password_encryption to 'scram-sha-256'")
        for name in names:
            connection.execute(sql.SQL("create role {}").format(sql.Identifier(name)))
        for statement in split(statements.replace("{db}", database) + INSIDE):
            connection.execute(statement.encode())
    yield url
    source_cluster.drop_database(OLD_NAME)
    with connect(source_cluster.url("postgres")) as connection:
        if source_cluster.major >= 16:
            connection.execute("revoke app_ro from a_member granted by reporting")
        for name in names:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


def split(statements: str) -> list[str]:
    """Return the statements, each of which begins a line with one of a few words."""
    begun = ("alter ", "grant ", "comment ", "revoke ", "create ")
    found: list[str] = []
    for line in statements.strip("\n").split("\n"):
        if line.startswith(begun):
            found.append(line)
        elif line:
            found[-1] += f"\n{line}"
    return found


@pytest.fixture(scope="module")
def new_cluster(cluster_directory: Path, pytestconfig: pytest.Config) -> Iterator[EmbeddedServer]:
    """An empty cluster of the destination's version."""
    binaries = find_binaries(pytestconfig.getoption("--destination-major"))
    with EmbeddedServer(binaries, cluster_directory / "new", settings=TEST_SETTINGS) as server:
        yield server


@pytest.fixture
def empty_cluster(new_cluster: EmbeddedServer) -> Iterator[EmbeddedServer]:
    """The same, emptied again after the test."""
    yield new_cluster
    with connect(new_cluster.url("postgres")) as connection:
        databases = connection.execute("select datname from pg_database where oid >= 16384").fetchall()
        roles = connection.execute("select rolname from pg_roles where oid >= 16384").fetchall()
    for (name,) in databases:
        with connect(new_cluster.url("postgres")) as connection:
            connection.execute(sql.SQL("alter database {} is_template false").format(sql.Identifier(name)))
        new_cluster.drop_database(name)
    with connect(new_cluster.url("postgres")) as connection:
        for (name,) in roles:
            connection.execute(sql.SQL("drop role {}").format(sql.Identifier(name)))


@pytest.fixture
def hba(source_cluster: EmbeddedServer) -> Iterator[Callable[[str], None]]:
    """Writes the source's pg_hba.conf, which is not loaded, and puts the old one back."""
    file = source_cluster.data / "pg_hba.conf"
    before = file.read_text(encoding="utf-8")
    yield lambda text: put_hba(source_cluster, text)
    file.write_text(before, encoding="utf-8")


def put_hba(server: EmbeddedServer, text: str) -> None:
    (server.data / "pg_hba.conf").write_text(text, encoding="utf-8")


def load(server: EmbeddedServer, *scripts: str) -> None:
    """Load scripts into a cluster, one after the other, by psql, which stops at the first error."""
    for number, script in enumerate(scripts):
        file = server.directory / f"script{number}.sql"
        file.write_text(script, encoding="utf-8")
        url = server.url("postgres")
        words = [psql_of(server), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-f", "-", url]
        with file.open("rb") as stdin:
            options = spawn_options(server.directory)
            done = subprocess.run(words, stdin=stdin, capture_output=True, text=True, **options)
        assert done.returncode == 0, f"{done.stderr}\n{script}"


def read(url: str, new_name: str = "", *, with_passwords: bool = True) -> Inventory:
    with observer(url, "source", None) as session:
        return read_inventory(session, new_name=new_name, with_passwords=with_passwords)


def comparable_users(users: Users | None) -> tuple[dict[str, Role], set[object]]:
    assert users is not None
    return {role.name: role for role in users.roles}, set(users.memberships)


def comparable_database(database: Database | None) -> object:
    assert database is not None
    own = {(own.role, own.setting) for own in database.own_settings}
    extensions = {(e.name, e.schema) for e in database.extensions}
    settings = {s for s in database.settings if s.name != "default_transaction_read_only"}
    rest = replace(
        database,
        name="",
        own_settings=(),
        extensions=(),
        settings=(),
        provider=database.provider or "libc",
    )
    return rest, own, extensions, settings


def comparable_hba(found: Hba | None, *, errors: bool = True) -> list[object]:
    assert found is not None
    rules = [replace(rule, file="", line=0) for rule in found.rules if usable(rule)]
    assert all(rule.complete for rule in rules)
    return [rule if errors else replace(rule, error="") for rule in rules]


def test_the_sql_makes_a_cluster_that_is_like_the_source(
    source: str,
    empty_cluster: EmbeddedServer,
    source_cluster: EmbeddedServer,
    project: Callable[..., Project],
    hba: Callable[[str], None],
) -> None:
    hba(HBA + (WITH_REGULAR_EXPRESSIONS if source_cluster.major >= 16 else ""))
    there = project(source, empty_cluster.url(NEW_NAME))
    for kind, more in (("user", ["--with-passwords"]), ("db", []), ("hba", ["--with-passwords"])):
        words = [f"check-{kind}", "--format", "sql", "--output", str(there.directory / kind), *more]
        assert run(["--config", str(there.path), *words]) == 0
        assert stat.S_IMODE((there.directory / kind).stat().st_mode) == 0o600
    written = {k: (there.directory / k).read_text(encoding="utf-8") for k in ("user", "db", "hba")}
    load(empty_cluster, written["user"], written["db"])
    put_hba(empty_cluster, written["hba"])
    old, new = read(source, NEW_NAME), read(empty_cluster.url(NEW_NAME), NEW_NAME)
    assert comparable_users(new.users) == comparable_users(old.users)
    assert comparable_database(new.database) == comparable_database(old.database)
    assert comparable_hba(new.hba, errors=False) == comparable_hba(old.hba, errors=False)
    assert len(comparable_hba(new.hba)) >= 20
    # What is not compared is what is said not to be carried.
    assert "-- not carried: settings of roles in other databases" in written["user"]
    assert '--   alter role "app_user" in database "postgres" set' in written["user"]
    assert "-- not carried: its read-only default" in written["db"]
    assert "-- not carried: versions of extensions" in written["db"]


def test_the_yaml_and_what_it_does_not_carry_make_a_cluster_that_is_like_the_source(
    source: str, source_cluster: EmbeddedServer, empty_cluster: EmbeddedServer, hba: Callable[[str], None]
) -> None:
    hba(HBA)
    old = read(source, "shop_new")
    text = definition(old)
    variables = pigsty.validated(text)
    assert list(variables) == ["pg_users", "pg_databases", "pg_hba_rules"]
    rest = [line for line in pigsty.not_carried(text) if not line.startswith("host")]
    load(empty_cluster, "\n".join([*pigsty.made_of(variables), *rest]))
    new = read(empty_cluster.url("shop_new"), "shop_new")
    (was, were), (now, are) = comparable_users(old.users), comparable_users(new.users)
    for name in {*pigsty.BUILT_IN}:
        now.pop(name)
        was.pop(name, None)
    assert now == was
    assert are == were
    assert comparable_database(new.database) == comparable_database(old.database)


def test_the_yaml_says_what_there_is(
    source: str, source_cluster: EmbeddedServer, hba: Callable[[str], None]
) -> None:
    hba(HBA)
    variables = pigsty.validated(definition(read(source, "shop_new", with_passwords=False)))
    users = {user["name"]: user for user in variables["pg_users"]}
    order = list(users)
    assert order.index("z_group") < order.index("a_member")
    assert order.index("app_ro") < order.index("app_rw") < order.index("app_user")
    assert users["app_user"]["roles"] == ["pg_monitor", "app_rw"]
    assert users["app_user"]["pgbouncer"] is True
    assert users["app_user"]["expire_at"] == "2030-01-02"
    assert users["app_user"]["parameters"]["work_mem"] == "64MB"
    assert users["expired"]["expire_at"] == "2001-02-03"
    assert "expire_at" not in users["reporting"]
    assert "pgbouncer" not in users["reporting"]
    assert users["app_ro"]["login"] is False
    assert not {"postgres", "replicator", *ODD[:-1]} & set(users)
    (database,) = variables["pg_databases"]
    assert database["name"] == "shop_new"
    assert database["owner"] == "app.owner"
    assert database["schemas"] == ["S 1", "app", "two\nlines"]
    assert database["extensions"][0] == {"name": "citext", "schema": "app"}
    assert database["revokeconn"] is True
    rules = variables["pg_hba_rules"]
    assert [rule["order"] for rule in rules] == sorted({rule["order"] for rule in rules})
    said = [rule for rule in rules if "addr" in rule]
    assert [(r["addr"], r["auth"]) for r in said] == [
        ("local", "trust"),
        ("local", "scram-sha-256"),
        ("127.0.0.1/32", "trust"),
        ("10.1.2.3/24", "scram-sha-256"),
        ("10.0.0.0/8", "deny"),
        ("world", "scram-sha-256"),
        ("0.0.0.0/0", "ssl-sha"),
        ("192.168.0.0/16", "ssl-md5"),
    ]
    assert said[3] | {"title": "", "order": 0} == {
        "title": "",
        "order": 0,
        "user": "app_user",
        "db": '"S, 1","#x"',
        "addr": "10.1.2.3/24",
        "auth": "scram-sha-256",
    }


def test_every_kind_of_rule_is_the_same_rule_when_it_is_written_again(
    source: str, source_cluster: EmbeddedServer, hba: Callable[[str], None]
) -> None:
    hba(HBA + (WITH_REGULAR_EXPRESSIONS if source_cluster.major >= 16 else "") + ONLY_HERE)
    old = read(source)
    assert old.hba is not None
    text = definition(replace(old, users=None, database=None), "sql")
    assert "10.0.0.0/99" in text
    assert "does not understand" in text
    hba(text)
    new = read(source).hba
    assert new is not None
    assert all(usable(rule) for rule in new.rules)
    assert comparable_hba(new) == comparable_hba(old.hba)


def test_passwords_are_written_only_when_they_are_asked_for(
    source: str,
    project: Callable[..., Project],
    hba: Callable[[str], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hba(HBA)
    there = project(source, "postgresql://nobody@nowhere.invalid/shop_new")

    def written(*words: str) -> str:
        assert run(["--config", str(there.path), *words]) == 0
        return capsys.readouterr().out

    for form in ("pigsty", "sql", "json"):
        plain, whole = (written("check-user", "--format", form, *more) for more in ([], ["--with-passwords"]))
        assert "SCRAM-SHA-256$" not in plain
        assert whole.count("SCRAM-SHA-256$") == 2
        plain, whole = (written("check-hba", "--format", form, *more) for more in ([], ["--with-passwords"]))
        assert SECRET not in plain
        assert SECRET in whole
    assert pigsty.validated(written("check-user", "--with-passwords"))["pg_users"][0]


def test_the_destination_need_not_exist_and_gives_the_database_its_name(
    source: str, project: Callable[..., Project]
) -> None:
    there = project(source, "postgresql://nobody@nowhere.invalid/shop_new")
    done = there.run("check-db")
    assert done.stderr == ""
    assert pigsty.validated(done.stdout)["pg_databases"][0]["name"] == "shop_new"
    assert there.json("check-db")["database"]["new_name"] == "shop_new"


def test_a_database_that_migrator_fills_is_written_without_what_is_inside(
    source: str,
    empty_cluster: EmbeddedServer,
    project: Callable[..., Project],
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = project(source, empty_cluster.url("shop_new"))
    words = ["--config", str(there.path), "check-db", "--empty"]
    assert run(words) == 0
    (database,) = pigsty.validated(capsys.readouterr().out)["pg_databases"]
    assert not {"schemas", "extensions"} & set(database)
    assert run([*words, "--format", "sql"]) == 0
    script = capsys.readouterr().out
    assert "not carried: schemas and extensions" in script
    load(empty_cluster, definition(replace(read(source), database=None, hba=None), "sql"), script)
    with App.open(there.path) as app:
        blocked = {finding.check for finding in app.check().findings}
    assert not {"destination_empty", "missing_roles", "encoding"} & blocked


def test_what_cannot_be_done_is_refused_with_one_clear_error(
    source: str,
    project: Callable[..., Project],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    there = project(source, "postgresql://nobody@nowhere.invalid/shop_new")
    file = there.directory / "there"
    file.write_text("mine", encoding="utf-8")
    words = ["--config", str(there.path), "check-user"]
    assert run([*words, "--format", "sql", "--output", str(file)]) == 3
    assert file.read_text(encoding="utf-8") == "mine"
    assert "--output OTHER" in capsys.readouterr().err
    assert run([*words, "--json", "--format", "sql"]) == 2
    assert json.loads(capsys.readouterr().out)["error"] == "InvalidUsage"
    monkeypatch.setitem(sys.modules, "yaml", None)
    assert run(words) == 2
    assert "pip install 'migrator[manual]'" in capsys.readouterr().err
    assert run([*words, "--format", "sql"]) == 0


def test_only_passwords_and_rules_need_a_superuser(
    source: str, project: Callable[..., Project], capsys: pytest.CaptureFixture[str]
) -> None:
    owner = project(source.replace("//postgres@", "//app.owner@"), "postgresql://nobody@nowhere.invalid/new")
    words = ["--config", str(owner.path)]
    assert run([*words, "check-user"]) == 0
    assert run([*words, "check-db"]) == 0
    capsys.readouterr()
    for command in (["check-user", "--with-passwords"], ["check-hba"]):
        assert run([*words, *command]) == 5
        said = capsys.readouterr()
        assert said.out == ""
        assert "permission denied" in said.err
        assert "hint: grant" in said.err
