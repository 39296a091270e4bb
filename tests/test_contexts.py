"""A context: its directory, the old context file, ``activate`` and the scripts in real shells."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from migrator.cli.main import run
from migrator.config import load
from migrator.config_template import TEMPLATE, fill
from migrator.demo.host import free_port
from migrator.manual import files, scripts
from migrator.pg.conninfo import url_of, without_password
from migrator.pg.names import Names
from tests.fixtures.project import clean_environment

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "Gn0m0nX"
PORT = free_port()
# Nobody listens: what is made is made without the servers.
SOURCE = f"postgresql://dba@127.0.0.1:{PORT}/meta"
DESTINATION = f"postgresql://dba@127.0.0.1:{PORT}/test"
SHELLS = [shell for shell in ("sh", "bash", "zsh") if shutil.which(shell)]
OLD = f"""
src_cls: pg-meta
src_db: meta
src_ip: 127.0.0.1
src_pg: {SOURCE}
dst_cls: pg-test
dst_db: test
dst_ip: 127.0.0.1
dst_pg: {DESTINATION}
"""
HOSTILE = {
    "quotes": """it's "so" `date` $(date) $HOME""",
    "backslash, blanks": " back\\slash  two  blanks \\",
    "other letters": "数据 naïve 🐘",
    "dots and dashes": "-..-",
    "options": "--help *?[a-z] ~ # ; & | < > ! %s {{ }} {x}",
}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("MIGRATOR_CONFIG", raising=False)
    monkeypatch.delenv("MIGRATION_CONTEXT", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def init(*words: str, source: str = SOURCE, destination: str = DESTINATION) -> int:
    return run(["init", "--source", source, "--destination", destination, *words])


def made(home: Path, *words: str) -> Path:
    assert init("--source-cluster", "pg-meta", "--destination-cluster", "pg-test", *words) == 0
    parent = words[1] if words else "migration"
    return home / parent / "pg-meta.meta"


def old(home: Path, text: str) -> Path:
    path = home / "context.yml"
    path.write_text(text, encoding="utf-8")
    return path


def shell(
    program: str, script: str, cwd: Path, path: str = "/usr/bin:/bin", **env: str
) -> subprocess.CompletedProcess[str]:
    environment = clean_environment() | {"PATH": path} | env
    return subprocess.run([program, "-c", script], capture_output=True, text=True, cwd=cwd, env=environment)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def tree(directory: Path) -> dict[str, bytes | None]:
    return {
        str(path.relative_to(directory)): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


# The directory


def test_a_context_is_made_from_two_urls(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = made(home)
    told = capsys.readouterr()
    assert f"next: . {directory}/activate" in told.out
    assert f"warning: the source (127.0.0.1:{PORT}/meta) cannot be reached" in told.err
    assert mode(directory) == 0o700
    assert {path.name for path in directory.iterdir()} == {
        "migrator.toml",
        "README.md",
        "activate",
        *scripts.NAMES,
    }
    assert mode(directory / "migrator.toml") == 0o600
    assert {mode(directory / name) for name in scripts.NAMES} == {0o755}
    loaded = load(directory / "migrator.toml")
    config = loaded.config
    assert (config.migration.name, config.source.url) == ("pg-meta.meta", SOURCE)
    assert (config.context.source_cluster, config.context.destination_cluster) == ("pg-meta", "pg-test")
    assert (config.destination.url, config.replication.source_conninfo) == (DESTINATION, "")
    assert loaded.state_url == f"sqlite:///{directory}/.migrator/state.db"
    text = (directory / "migrator.toml").read_text()
    assert [line for line in text.splitlines() if line.startswith("#")] == [
        line for line in TEMPLATE.splitlines() if line.startswith("#")
    ]
    manual = (directory / "README.md").read_text()
    assert "**Not known:** the source (127.0.0.1" in manual
    assert "**Not known:** the destination (127.0.0.1" in manual


def test_clusters_without_a_name_are_called_as_their_hosts(home: Path) -> None:
    assert init("--context-dir", "elsewhere") == 0
    directory = home / "elsewhere" / "127.0.0.1.meta"
    assert load(directory / "migrator.toml").config.context.destination_cluster == "127.0.0.1"
    socket = f"postgresql:///meta?host=/run/none&port={PORT}"
    assert init(source=socket) == 0
    assert (home / "migration" / "local.meta").is_dir()


def test_what_is_there_is_refused_and_not_changed(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    directory = made(home)
    (directory / "activate").write_text("mine")
    before = tree(home)
    again = ("--source-cluster", "pg-meta", "--destination-cluster", "other")
    assert init(*again) == 3
    assert f"{directory} exists and was not touched" in capsys.readouterr().err
    assert tree(home) == before
    shutil.rmtree(directory)
    directory.mkdir()
    assert init(*again) == 0
    assert mode(directory) == 0o700
    (home / "migration" / "pg-meta.meta").rename(home / "moved")
    directory.symlink_to(home / "moved")
    assert init(*again) == 3
    shutil.rmtree(home / "migration")
    (home / "migration").write_text("a file")
    assert init(*again) == 2
    assert "cannot be written: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", SOURCE], "--source URL and --destination URL"),
        (["--context-dir", "x"], "--source URL and --destination URL"),
        (["--from-pigsty", "x.yml", "--source", SOURCE], "--from-pigsty takes the place of --source"),
        (["--source", "nowhere", "--destination", DESTINATION], "--source is 'nowhere'; accepted is"),
        (
            ["--source", f"postgresql://a:{SECRET}@b@h/meta", "--destination", DESTINATION],
            "--source cannot be used",
        ),
        (["--source", "postgresql://a@h", "--destination", DESTINATION], "--source names no database"),
        (
            ["--source", "postgresql://a@h/a%2Fb", "--destination", DESTINATION],
            "the database of --source is 'a/b'; accepted is a text of up to 100 characters, without /",
        ),
        (
            ["--source", "postgresql://a@h/a%0Ab", "--destination", DESTINATION],
            "the database of --source is 'a\\nb'; accepted is",
        ),
        (
            ["--source", "postgresql://a@[::1]/meta", "--destination", DESTINATION],
            "the host of --source is '::1'; accepted is",
        ),
        (
            ["--source", SOURCE, "--destination", DESTINATION, "--source-cluster", "../up"],
            "--source-cluster is '../up'; accepted is",
        ),
        (
            ["--source", SOURCE, "--destination", DESTINATION, "--destination-cluster", "a:b"],
            "--destination-cluster is 'a:b'; accepted is",
        ),
        (["--source", SOURCE, "--destination", SOURCE], "destination.url is"),
        (
            ["--source", SOURCE, "--destination", DESTINATION, "--context-dir", "a:b"],
            "a:b/127.0.0.1.meta holds a colon",
        ),
    ],
)
def test_options_that_cannot_be_used_are_told_once_and_make_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert run(["init", *words]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("error: ") == 1
    assert SECRET not in said.out + said.err
    assert tree(home) == {}


def test_only_a_context_needs_the_libraries_of_the_manual(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("jinja2", "markdown_it", "yaml"):
        monkeypatch.setitem(sys.modules, name, None)
    assert run(["init"]) == 0
    (home / "migrator.toml").unlink()
    old(home, OLD)
    for words in (
        ["init", "--source", SOURCE, "--destination", DESTINATION],
        ["init", "--from-pigsty", "context.yml"],
    ):
        assert run(words) == 2
        assert "hint: pip install 'migrator[manual]'" in capsys.readouterr().err
    assert set(tree(home)) == {"context.yml"}


# The old context file


def test_the_old_context_file_is_taken_with_its_defaults(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its defaults name no port; these servers are nowhere near.
    monkeypatch.setattr("migrator.manual.contexts.gather", lambda loaded: gathered(loaded))
    path = old(
        home,
        "src_cls: pg-meta\nsrc_db: meta\nsrc_ip: 10.10.10.10\nsrc_pg: ''\nsub_conn:\n"
        "dst_cls: pg-test\ndst_db: test\ndst_ip: 10.10.10.11\n",
    )
    assert run(["init", "--from-pigsty", str(path)]) == 0
    config = load(home / "migration" / "pg-meta.meta" / "migrator.toml").config
    assert config.migration.name == "pg-meta.meta"
    assert config.source.url == "postgres://dbuser_dba@10.10.10.10/meta"
    assert config.destination.url == "postgres://dbuser_dba@10.10.10.11/test"
    assert config.replication.source_conninfo == "host=10.10.10.10 dbname=meta user=replicator"
    assert (config.context.source_cluster, config.context.destination_cluster) == ("pg-meta", "pg-test")
    assert "note: " not in capsys.readouterr().err
    path = old(
        home,
        path.read_text()
        + "context_dir: ~/there\npg_admin_username: ad@min\npg_replication_username: re pl\n",
    )
    assert run(["init", "--from-pigsty", str(path)]) == 0
    config = load(home / "there" / "pg-meta.meta" / "migrator.toml").config
    assert conninfo_to_dict(config.source.url)["user"] == "ad@min"
    assert conninfo_to_dict(config.replication.source_conninfo)["user"] == "re pl"
    assert run(["init", "--from-pigsty", str(path), "--context-dir", str(home / "given")]) == 0
    assert (home / "given" / "pg-meta.meta" / "activate").exists()


def gathered(loaded: Any) -> Any:
    from migrator.manual import pair
    from migrator.manual.facts import Facts, ServerFacts

    urls = {"source": loaded.config.source.url, "destination": loaded.config.destination.url}
    seen = {
        side: ServerFacts(side, pair.host(url), pair.database(url))  # type: ignore[arg-type]
        for side, url in urls.items()
    }
    return Facts(**seen, unknown=("not looked at",))


def test_variables_that_are_not_used_are_told_by_name_with_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unused = f"pg_dbsu: postgres\npg_admin_password: {SECRET}\npg_replication_password: !vault {SECRET}\n"
    unused += (
        f"pg_monitor_username: x\npg_monitor_password: {SECRET}\nsrc_list: [a, b]\nsrc_dns: x\nsrc_vip: x\n"
    )
    unused += f"dst_dns: x\ndst_vip: x\ndst_user: x\nsrc_pgg: {SECRET}\ncolour: {SECRET}\n"
    path = old(home, OLD + unused)
    assert run(["init", "--from-pigsty", str(path)]) == 0
    told = capsys.readouterr()
    notes = [line for line in told.err.splitlines() if line.startswith("note: ")]
    names = [line.split(":")[0] for line in unused.splitlines()]
    assert len(notes) == len(names)
    for name, note in zip(names, notes, strict=True):
        assert note.startswith((f"note: {path}: {name} ", f"note: {path}: '{name}' "))
    assert sum("~/.pgpass" in note for note in notes) == 2
    assert sum("[cutover] router" in note for note in notes) == 4
    assert "did you mean src_pg?" in told.err
    assert SECRET not in told.out + told.err
    for name, content in tree(home / "migration").items():
        assert SECRET.encode() not in (content or b""), name


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("src_cls: pg-meta\n", ""), "src_cls is missing; accepted is a text of 1 to 100 characters"),
        (("src_db: meta\n", "src_db: ''\n"), "src_db is missing; accepted is a text of 1 to 100"),
        (("src_ip: 127.0.0.1\n", "src_ip:\n"), "src_ip is missing; accepted is an address or a host name"),
        (("dst_cls: pg-test\n", ""), "dst_cls is missing"),
        (("dst_db: test\n", ""), "dst_db is missing"),
        (("dst_ip: 127.0.0.1\n", ""), "dst_ip is missing"),
        (("src_db: meta", "src_db: 2024"), "src_db is 2024; accepted is a text"),
        (("src_db: meta", "src_db: 2024-01-01"), "src_db is datetime.date(2024, 1, 1); accepted is a text"),
        (("src_db: meta", "src_db: yes"), "src_db is True; accepted is a text"),
        (("src_db: meta", "src_db: [meta]"), "src_db is ['meta']; accepted is a text"),
        (("src_cls: pg-meta", "src_cls: {a: b}"), "src_cls is {'a': 'b'}; accepted is a text"),
        (("src_cls: pg-meta", "src_cls: ../up"), "src_cls is '../up'; accepted is a text of 1 to 100"),
        (("src_cls: pg-meta", 'src_cls: "a\\nb"'), "src_cls is 'a\\nb'; accepted is a text"),
        (("dst_cls: pg-test", "dst_cls: a:b"), "dst_cls is 'a:b'; accepted is a text"),
        (("src_cls: pg-meta", "src_cls: '{{ cls }}'"), "src_cls is '{{ cls }}'; accepted is a text"),
        (("src_ip: 127.0.0.1", "src_ip: 10.5"), "src_ip is 10.5; accepted is an address"),
        (("dst_ip: 127.0.0.1", "dst_ip: 'a b'"), "dst_ip is 'a b'; accepted is an address"),
        ((SOURCE, "[]"), "src_pg is []; accepted is"),
        ((SOURCE, "mysql://x"), "src_pg is 'mysql://x'; accepted is"),
        ((SOURCE, f"postgres://a:{SECRET}@b@h/meta"), "src_pg cannot be used: a sign"),
        ((SOURCE, f"postgres://a:{SECRET}@h"), "src_pg leads to database ''; accepted is src_db"),
        ((DESTINATION, "postgres://a@h/meta"), "dst_pg leads to database 'meta'; accepted is dst_db"),
        (
            (DESTINATION, f"postgres://a:{SECRET}@{{{{ dst_ip }}}}/test"),
            "dst_pg is 'postgres://a:***@{{ dst_ip }}/test'; accepted is",
        ),
        (("dst_db", "sub_conn: 5\ndst_db"), "sub_conn is 5; accepted is"),
        (("dst_db", f"sub_conn: host=a password='{SECRET} x\ndst_db"), "sub_conn cannot be used"),
        (("dst_db", "sub_conn: host=a dbname=other\ndst_db"), "sub_conn leads to database 'other'"),
        (("dst_db", "pg_admin_username: 7\ndst_db"), "pg_admin_username is 7; accepted is the name of a"),
        (("dst_db", "context_dir: [x]\ndst_db"), "context_dir is ['x']; accepted is a directory"),
        (("dst_db", "context_dir: /a:b\ndst_db"), "context_dir is '/a:b'; accepted is a directory"),
        (("src_db: meta", "src_db: meta\nsrc_db: meta"), "'src_db' is there twice"),
        (("src_db: meta", f"src_db: !vault {SECRET}"), "src_db has the tag '!vault'; accepted is the value"),
        (("src_db: meta", f"src_db: {SECRET}: {SECRET}"), "is not YAML at line 3, column"),
        (("src_db: meta", f"src_db: *{SECRET}"), "is not YAML at line 3, column"),
        (("src_db: meta", f"src_db: '{SECRET}\x01'"), "is not YAML: it holds a character"),
        ((OLD, ""), "holds no variables; accepted are lines such as"),
        ((OLD, "- src_cls\n"), "holds no variables"),
        ((OLD, "just words"), "holds no variables"),
        ((OLD, "--- {}\n--- {}\n"), "is not YAML at line 2"),
    ],
)
def test_a_bad_context_file_is_told_in_one_clear_error_and_makes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], told: str
) -> None:
    assert change[0] in OLD
    path = old(home, OLD.replace(*change))
    assert run(["init", "--from-pigsty", str(path)]) == 2
    said = capsys.readouterr()
    lines = [line for line in said.err.splitlines() if not line.startswith("hint: ")]
    assert len(lines) == 1, said.err
    assert lines[0].startswith(f"error: {path}: {told}")
    assert said.out == ""
    assert SECRET not in said.err
    assert set(tree(home)) == {"context.yml"}


def test_all_problems_of_a_context_file_are_told_at_once(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = old(home, "src_cls: 5\nsrc_ip: 127.0.0.1\ndst_cls: a/b\ndst_db: x\n")
    assert run(["init", "--from-pigsty", str(path)]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.removeprefix("error: ").split()[1] for line in lines[:-1]] == [
        "src_cls",
        "src_db",
        "dst_cls",
        "dst_ip",
    ]
    for name, problem in (
        ("none.yml", "there is no such file"),
        (".", "cannot be read"),
        ("b", "is not UTF-8"),
    ):
        (home / "b").write_bytes(b"src_cls: \xff")
        assert run(["init", "--from-pigsty", name]) == 2
        assert f"error: {name}: {problem}" in capsys.readouterr().err


# Passwords


@pytest.mark.parametrize("program", SHELLS)
def test_a_password_of_a_url_is_in_the_configuration_and_nowhere_else(
    home: Path, capsys: pytest.CaptureFixture[str], program: str
) -> None:
    secret = f"a%3A%40%2F{SECRET}"
    path = old(
        home,
        OLD.replace("dba@", f"dba:{secret}@")
        + f"sub_conn: host=127.0.0.1 dbname=meta password='x {SECRET}'\n",
    )
    assert run(["init", "--from-pigsty", str(path)]) == 0
    directory = home / "migration" / "pg-meta.meta"
    assert run(["--config", str(directory / "migrator.toml"), "manual", "--html"]) == 0
    assert run(["--config", str(directory / "migrator.toml"), "manual", "--output", "-"]) == 0
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    holds = {name for name, content in tree(directory).items() if SECRET.encode() in (content or b"")}
    assert holds == {"migrator.toml"}
    done = shell(program, ". ./activate && env", directory)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert f"SRCPG={SOURCE}\n" in done.stdout
    assert f"DSTPG={DESTINATION}\n" in done.stdout
    (conninfo,) = [line for line in done.stdout.splitlines() if line.startswith("SUBCONN=")]
    stream = conninfo_to_dict(conninfo.removeprefix("SUBCONN="))
    assert stream == {"host": "127.0.0.1", "dbname": "meta"}


PARTS = st.fixed_dictionaries(
    {"host": st.sampled_from(["db", "10.0.0.1", "::1", "fe80::1", "/run/pg", "a,b", ""])},
    optional={
        "user": st.text(st.characters(min_codepoint=1, exclude_categories=("Cs",)), min_size=1, max_size=20),
        "dbname": st.text(
            st.characters(min_codepoint=1, exclude_categories=("Cs",)), min_size=1, max_size=20
        ),
        "port": st.sampled_from(["5432", "5432,5433"]),
        "application_name": st.sampled_from(["a b&c=d", "x"]),
        "sslmode": st.just("require"),
    },
)


@given(parts=PARTS, password=st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1))
def test_a_conninfo_says_the_same_without_its_password(parts: dict[str, str], password: str) -> None:
    said = {name: value for name, value in parts.items() if value}
    assert conninfo_to_dict(url_of(said)) == said
    with_password = url_of({**said, "password": password})
    for conninfo in (with_password, make_conninfo("", **said, password=password)):
        left = without_password(conninfo)
        assert conninfo_to_dict(left) == said
        assert left.startswith("postgresql://") == conninfo.startswith("postgresql://")
    assert without_password(url_of(said)) == url_of(said)


@given(value=st.text(st.characters(exclude_categories=("Cs",))))
def test_the_template_takes_any_text(value: str) -> None:
    keys = ("migration.name", "source.url", "destination.url", "state.url", "context.source_cluster")
    filled = tomllib.loads(fill(dict.fromkeys(keys, value)))
    for key in keys:
        section, name = key.split(".")
        assert filled[section].pop(name) == value
    plain = tomllib.loads(TEMPLATE)
    for key in keys:
        section, name = key.split(".")
        del plain[section][name]
    assert filled == plain


def test_the_template_refuses_a_key_that_it_does_not_have() -> None:
    with pytest.raises(KeyError, match=r"source\.name"):
        fill({"source.name": "x"})


# activate and the scripts


@pytest.mark.parametrize("program", SHELLS)
def test_activate_exports_the_old_variables_and_leads_there(home: Path, program: str) -> None:
    directory = made(home)
    script = f". {directory}/activate && pwd && command -v check-user && env"
    done = shell(program, script, home)
    assert done.returncode == 0, done.stderr
    name = Names.of("pg-meta.meta", "meta", "test").publication
    wanted = {
        "SRCCLS": "pg-meta",
        "SRCDB": "meta",
        "SRCIP": "127.0.0.1",
        "SRCPG": SOURCE,
        "PUBNAME": name,
        "DSTCLS": "pg-test",
        "DSTIP": "127.0.0.1",
        "DSTDB": "test",
        "DSTPG": DESTINATION,
        "SUBNAME": name,
        "SUBCONN": f"host=127.0.0.1 port={PORT} dbname=meta user=dba",
        "DIRPATH": str(directory),
        "MIGRATION_CONTEXT": "pg-meta.meta",
        "MIGRATOR_CONFIG": str(directory / "migrator.toml"),
    }
    lines = done.stdout.splitlines()
    assert {f"{name}={value}" for name, value in wanted.items()} <= set(lines)
    assert str(directory) in lines
    assert f"{directory}/check-user" in lines
    # Twice is as once; of two contexts the last one counts.
    other = made(home, "--context-dir", "two")
    done = shell(
        program, f". {other}/activate; . {directory}/activate; . ./activate; command -v drop-pub; env", home
    )
    assert f"{directory}/drop-pub" in done.stdout.splitlines()
    (path,) = [line for line in done.stdout.splitlines() if line.startswith("PATH=")]
    assert path.removeprefix("PATH=").split(":") == [str(directory), str(other), "/usr/bin", "/bin"]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=list(HOSTILE))
def test_any_name_comes_through_the_shells_as_it_is(home: Path, name: str) -> None:
    database = f"{name}'"
    source = url_of({"user": name, "host": "127.0.0.1", "port": str(PORT), "dbname": database})
    assert init("--source-cluster", name, "--destination-cluster", name, source=source) == 0
    directory = home / "migration" / f"{name}.{database}"
    fake = home / "bin" / "migrator"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\nprintf "<%s>" "$@"\n')
    fake.chmod(0o755)
    for program in SHELLS:
        script = (
            '. ./activate >told && printf "%s\\n" "$SRCCLS" "$SRCDB" "$DSTCLS" "$DIRPATH" "$SRCPG" && pwd'
        )
        done = shell(program, f"{script} && copy-seq 7 'a b'", directory, path=f"{fake.parent}:/usr/bin:/bin")
        assert done.stderr == ""
        *lines, called = done.stdout.split("\n")
        assert lines == [name, database, name, str(directory), source, str(directory)]
        assert called == f"<--config><{directory}/migrator.toml><copy-seq><7><a b>"
    assert f"context  {name}.{database}" in (directory / "told").read_text()


@pytest.mark.parametrize("name", scripts.NAMES)
def test_a_script_refuses_in_another_context_and_runs_in_its_own(home: Path, name: str) -> None:
    directory = made(home)
    fake = home / "bin" / "migrator"
    fake.parent.mkdir()
    fake.write_text("#!/bin/sh\necho ran >>$HOME/ran\nexit 5\n")
    fake.chmod(0o755)
    for active, said in (({}, "none"), ({"MIGRATION_CONTEXT": "other.db"}, "other.db")):
        done = subprocess.run(
            [directory / name, "--yes"],
            env=clean_environment() | {"PATH": f"{fake.parent}:/usr/bin:/bin"} | active,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 3
        assert done.stderr.splitlines() == [
            f"error: this {name} belongs to context pg-meta.meta; the active one is {said}",
            f"hint: . {directory}/activate",
        ]
        assert not (home / "ran").exists()
    done = shell("sh", f". {directory}/activate; {name}", home, path=f"{fake.parent}:/usr/bin:/bin")
    assert done.returncode == 5
    assert (home / "ran").read_text() == "ran\n"


def test_a_script_finds_the_migrator_that_wrote_it_where_none_is_on_the_path(home: Path) -> None:
    directory = made(home)
    # What the working directory holds is not taken for it.
    (directory / "migrator.py").write_text("raise SystemExit(77)")
    done = shell("sh", ". ./activate >/dev/null; copy-progress", directory)
    assert done.returncode == 2
    assert done.stderr.startswith("error: nothing is planned yet")
    assert done.stderr.endswith("hint: migrator plan\n")


# Rendered again


def test_what_migrator_wrote_is_written_again_and_nothing_else_is(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = made(home)
    config = ["--config", str(directory / "migrator.toml")]
    before = tree(directory)
    (directory / "drop-sub").unlink()
    (directory / "activate").write_text(f"# {files.MARK}\n")
    assert run([*config, "manual"]) == 0
    after = tree(directory)
    assert {k: v for k, v in after.items() if k != "README.md"} == {
        k: v for k, v in before.items() if k != "README.md"
    }
    assert mode(directory / "drop-sub") == 0o755
    capsys.readouterr()

    text = (directory / "README.md").read_text().partition("\n")[2]
    (directory / "README.md").write_text(text)
    (directory / "check-db").write_text("#!/bin/sh\nmine\n")
    (directory / "drop-pub").unlink()
    before = tree(directory)
    assert run([*config, "manual"]) == 3
    said = capsys.readouterr().err
    assert f"{directory}/README.md, {directory}/check-db were not written by migrator" in said
    assert tree(directory) == before
    # Where it is sent to, it is the same.
    assert run([*config, "manual", "--output", "mine.md"]) == 0
    assert (home / "mine.md").read_text().startswith(f"<!-- {files.MARK} -->\n# pg-meta.meta")
    assert run([*config, "manual", "--output", "mine.md", "--html"]) == 0
    assert "<!doctype html>" in (home / "mine.md").read_text()
    (home / "mine.md").write_text("mine")
    assert run([*config, "manual", "--output", "mine.md"]) == 3
    assert run([*config, "manual", "--output", "no/such/place.md"]) == 2
    assert run([*config, "manual", "--output", "/dev/null"]) == 3
    assert tree(directory) == before


def test_a_configuration_that_init_did_not_fill_has_a_manual_too(home: Path) -> None:
    path = home / "migrator.toml"
    path.write_text(
        f'[migration]\nname = "pg-old.meta"\n[source]\nurl = "{SOURCE}"\n'
        f'[destination]\nurl = "host=127.0.0.1 port={PORT} user=a"\n'
    )
    assert run(["manual"]) == 0
    done = shell("sh", ". ./activate; env", home)
    lines = done.stdout.splitlines()
    for line in ("SRCCLS=pg-old", "DSTCLS=127.0.0.1", "DSTDB=", "PUBNAME=", "MIGRATION_CONTEXT=pg-old.meta"):
        assert line in lines
    assert "  publication   not known yet: migrator manual" in lines
    path.write_text(path.read_text().replace("pg-old.meta", "shop"))
    assert run(["manual"]) == 0
    assert "export SRCCLS=127.0.0.1\n" in (home / "activate").read_text()


def test_the_mark_is_read_of_files_only(tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff\x00")
    (tmp_path / "late").write_text(f"\n\n{files.MARK}\n")
    os.mkfifo(tmp_path / "pipe")
    for name in ("directory", "dangling", "bytes", "late", "pipe"):
        assert not files.is_ours(tmp_path / name)
    assert files.is_ours(tmp_path / "none")
