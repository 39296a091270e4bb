from __future__ import annotations

import tomllib
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from migrator.config import Config, Duration, LoadedConfig, Size, load
from migrator.config_convert import DURATION_UNITS, SIZE_UNITS, convert
from migrator.config_template import TEMPLATE
from migrator.errors import ConfigError

MINIMAL = """
[migration]
name = "shop"
[source]
url = "postgresql://a@one:5432/shop"
[destination]
url = "postgresql://a@two:5432/shop"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "migrator.toml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(tmp_path: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, text))
    assert str(tmp_path / "migrator.toml") in caught.value.message
    assert caught.value.exit_code == 2
    return caught.value.message


def sections(wanted: Any = Config, prefix: str = "") -> dict[str, type[msgspec.Struct]]:
    found: dict[str, type[msgspec.Struct]] = {}
    for field in msgspec.structs.fields(wanted):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            found[prefix + field.name] = field.type
            found |= sections(field.type, f"{prefix}{field.name}.")
    return found


def tree(**dotted: Any) -> dict[str, Any]:
    root: dict[str, Any] = tomllib.loads(MINIMAL)
    for name, value in dotted.items():
        *path, key = name.split("__")
        at = root
        for part in path:
            at = at.setdefault(part, {})
        at[key] = value
    return root


def problems_of(root: dict[str, Any]) -> list[str]:
    problems: list[str] = []
    convert(root, Config, "", problems)
    return problems


def test_three_keys_are_enough(tmp_path: Path) -> None:
    config = load(write(tmp_path, MINIMAL)).config
    assert config.migration.name == "shop"
    assert config.cutover.max_pause == 10.0
    assert isinstance(config.cutover.max_pause, Duration)
    assert config.cutover.quick_diff == 1.0


def test_the_template_loads_and_equals_the_defaults(tmp_path: Path) -> None:
    config = load(write(tmp_path, TEMPLATE)).config
    assert config == Config(migration=config.migration, source=config.source, destination=config.destination)


def test_the_template_holds_every_key_of_every_section() -> None:
    written = tomllib.loads(TEMPLATE)
    for name, section in sections().items():
        at = written
        for part in name.split("."):
            at = at[part]
        assert list(at) == [field.encode_name for field in msgspec.structs.fields(section)], name


def test_every_key_of_the_template_has_its_explanation() -> None:
    lines = TEMPLATE.splitlines()
    for before, line in pairwise(lines):
        if " = " in line and not line.startswith("#"):
            assert before.startswith("# "), line


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "none.toml")
    assert caught.value.hint == "migrator init"
    assert "none.toml" in caught.value.message


def test_a_directory_and_bytes_and_text_that_is_not_toml_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path)
    (tmp_path / "bytes.toml").write_bytes(b"[migration]\nname = '\xff'")
    with pytest.raises(ConfigError, match="not UTF-8 at byte 20"):
        load(tmp_path / "bytes.toml")
    assert "is not TOML" in refusal(tmp_path, "[migration\n")


def test_a_passphrase_that_a_process_list_would_show_is_refused(tmp_path: Path) -> None:
    message = refusal(
        tmp_path,
        '[migration]\nname = "m"\n[source]\nurl = "postgresql://a/x?sslpassword=geheim"\n'
        '[destination]\nurl = "postgresql://b/x"\n',
    )
    assert "source.url cannot be used: sslpassword would be seen by others" in message
    assert "geheim" not in message


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = refusal(tmp_path, '[migration]\nname = 5\n[copy]\nlock_timeot = "2s"\n')
    assert len(message.splitlines()) == 4
    assert "migration.name is 5; accepted is a text of 1 to 200" in message
    assert "copy.lock_timeot is not a known key; [copy] accepts jobs, index_jobs" in message
    assert "did you mean copy.lock_timeout?" in message
    assert "source.url is missing" in message
    assert "destination.url is missing" in message


@given(
    section=st.sampled_from(["", *sections()]),
    key=st.from_regex(r"[a-z_-]{1,20}", fullmatch=True),
)
def test_any_unknown_key_is_refused_by_its_full_name(section: str, key: str) -> None:
    struct = sections().get(section, Config)
    known = [field.encode_name for field in msgspec.structs.fields(struct)]
    if key in known:
        return
    path = section.split(".") if section else []
    problems = problems_of(tree(**{"__".join([*path, key.replace("__", "-")]): 1}))
    name = ".".join([*path, key.replace("__", "-")])
    assert len(problems) == 1
    assert problems[0].startswith(f"{name} is not a known key; ")
    assert all(accepted in problems[0] for accepted in known)


@given(
    number=st.integers(min_value=1, max_value=10**9),
    unit=st.sampled_from(list(DURATION_UNITS)),
    space=st.sampled_from(["", " "]),
)
def test_any_duration_reads_back_as_it_is_written(number: int, unit: str, space: str) -> None:
    seconds = number * DURATION_UNITS[unit]
    text = f"{number}{space}{unit}"
    if seconds <= 24 * DURATION_UNITS["d"]:
        assert Duration.parse(text) == seconds
    else:
        with pytest.raises(ValueError, match=unit):
            Duration.parse(text)


@given(number=st.integers(min_value=0, max_value=10**9), unit=st.sampled_from(list(SIZE_UNITS)))
def test_any_size_reads_back_as_it_is_written(number: int, unit: str) -> None:
    assert Size.parse(f"{number}{unit}") == number * SIZE_UNITS[unit]


@pytest.mark.parametrize(
    "found", ["10", "s", "", "-1s", "0s", "0.5ms", "25d", "1m", "10 S", "1e3s", "inf", "nan", "٣s"]
)
def test_a_duration_without_a_unit_or_out_of_bounds_is_refused(found: str) -> None:
    (problem,) = problems_of(tree(cutover__max_pause=found))
    assert problem.startswith(f"cutover.max_pause is {found!r}; accepted is a duration")


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("cutover__max_pause", 10, "a duration from"),
        ("cutover__attempts", 0, "a whole number from 1"),
        ("cutover__attempts", True, "a whole number from 1"),
        ("copy__lock_attempts", -3, "a whole number from 1"),
        ("copy__lock_attempts", "3", "a whole number from 1"),
        ("sequences__shift", -1, "a whole number from 0 to 2^62 - 1"),
        ("sequences__shift", 2**62, "a whole number from 0 to 2^62 - 1"),
        ("sequences__shift", 2**70, "a whole number from 0 to 2^62 - 1"),
        ("cutover__fence", "trigger", '"lock"'),
        ("cutover__router", "nginx", '"manual" or "command" or "pgbouncer" or "haproxy"'),
        ("cleanup__source_read_only", "yes", "true or false"),
        ("context__source_cluster", "a/b", "a text of up to 100 characters, without / and :"),
        ("context__source_cluster", "x" * 101, "a text of up to 100"),
        ("context__destination_cluster", "a:b", "a text of up to 100"),
        ("context__destination_cluster", "a\nb", "a text of up to 100"),
        ("context__destination_cluster", 5, "a text of up to 100"),
        ("tables__include", "public.*", "a list of shell patterns"),
        ("tables__include", [], "a list of shell patterns"),
        ("tables__include", ["orders"], "a list of shell patterns"),
        ("tables__exclude", ["public."], "a list of shell patterns"),
        ("router__command__re_route", "./go", "a list of texts"),
        ("migration__name", "", "a text of 1 to 200"),
        ("migration__name", "  ", "a text of 1 to 200"),
        ("migration__name", "a\nb", "a text of 1 to 200"),
        ("migration__name", "a\n", "a text of 1 to 200"),
        ("migration__name", "x" * 201, "a text of 1 to 200"),
        ("source__url", "", '"postgresql://'),
        ("source__url", "mysql://x", '"postgresql://'),
        ("state__url", "mysql://x/y", '"sqlite:///FILE"'),
        ("state__url", "state.db", '"sqlite:///FILE"'),
        ("source", "postgresql://x", "a table, written [source]"),
    ],
)
def test_an_unusable_value_is_refused_with_its_name_and_what_is_accepted(
    name: str, value: Any, accepted: str
) -> None:
    (problem,) = problems_of(tree(**{name: value}))
    assert problem.startswith(f"{name.replace('__', '.')} is ")
    assert f"accepted is {accepted}" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("migration__name", "pg-meta.meta · ü"),
        ("migration__name", "x" * 200),
        ("source__url", "service=shop"),
        ("sequences__shift", 0),
        ("sequences__shift", 2**62 - 1),
        ("tables__include", ["public.*", "Odd Schema.Odd\nTable"]),
        ("state__url", "postgresql://a@b/c"),
        ("state__url", "postgresql+psycopg://a@b/c"),
    ],
)
def test_a_usable_value_is_accepted(name: str, value: Any) -> None:
    assert problems_of(tree(**{name: value})) == []


def test_source_and_destination_must_differ(tmp_path: Path) -> None:
    text = MINIMAL.replace("@two", "@one")
    assert "destination.url is 'postgresql://a@one:5432/shop', the same" in refusal(tmp_path, text)


def test_the_command_router_needs_its_program(tmp_path: Path) -> None:
    text = MINIMAL + '[cutover]\nrouter = "command"\n'
    assert "router.command.re_route is []" in refusal(tmp_path, text)
    given_one = text + '[router.command]\nre_route = ["./go"]\n'
    assert load(write(tmp_path, given_one)).config.router.command.re_route == ("./go",)


def test_the_asked_migration_must_be_the_one_of_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, MINIMAL)
    assert load(path, "shop").config.migration.name == "shop"
    with pytest.raises(ConfigError, match="is 'shop', not 'other'"):
        load(path, "other")


def test_no_message_and_no_repr_shows_a_password(tmp_path: Path) -> None:
    secret = "postgresql://a:s3cret@one/shop"
    text = MINIMAL.replace("postgresql://a@one:5432/shop", secret)
    assert "s3cret" not in repr(load(write(tmp_path, text)))
    both = text.replace("postgresql://a@two:5432/shop", secret)
    assert "s3cret" not in refusal(tmp_path, both)
    listed = text.replace(f'"{secret}"', f'["{secret}"]')
    assert "s3cret" not in refusal(tmp_path, listed)


@pytest.mark.parametrize(
    ("url", "resolved"),
    [
        ("sqlite:///.migrator/state.db", "sqlite:////etc/shop/.migrator/state.db"),
        ("sqlite:////var/state.db", "sqlite:////var/state.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("postgresql://a@b/c", "postgresql://a@b/c"),
    ],
)
def test_a_relative_store_lies_beside_the_file(url: str, resolved: str) -> None:
    config = msgspec.convert(tree(state__url=url), Config)
    assert LoadedConfig(Path("/etc/shop/migrator.toml"), config).state_url == resolved


def test_the_pgbouncer_router_needs_its_consoles_and_its_line(tmp_path: Path) -> None:
    text = MINIMAL + '[cutover]\nrouter = "pgbouncer"\n'
    message = refusal(tmp_path, text)
    assert "router.pgbouncer.admin_urls is []" in message
    assert 'router.pgbouncer.database is ""' in message
    text += (
        '[router.pgbouncer]\ndatabase = "shop"\nadmin_urls = ["postgresql://a@one/pgbouncer", "host=two"]\n'
    )
    loaded = load(write(tmp_path, text)).config.router.pgbouncer
    assert loaded.config_files == ("/etc/pgbouncer/pgbouncer.ini",)
    two = load(write(tmp_path, text + 'config_file = ["/a.ini", "/b.ini"]\n')).config.router.pgbouncer
    assert two.config_files == ("/a.ini", "/b.ini")
    for line, said in (
        ('config_file = ["a", "b", "c"]', "router.pgbouncer.config_file is"),
        ('config_file = ""', "router.pgbouncer.config_file is ''"),
        ("config_file = 5", "router.pgbouncer.config_file is 5; accepted is the path of a file"),
        ('probe_urls = ["host=one"]', "router.pgbouncer.probe_urls holds 1"),
        ('probe_urls = ["postgresql://a:ge@heim@x/y", "host=two"]', "probe_urls, number 1, cannot be used"),
        (
            'destination_address = "nowhere"',
            "router.pgbouncer.destination_address is 'nowhere'; accepted is \"h",
        ),
        ('config_file = "pgbouncer.ini"', "accepted is one file, by its whole path"),
    ):
        message = refusal(tmp_path, f"{text}{line}\n")
        assert said in message
        assert "heim" not in message


def test_the_haproxy_router_needs_its_sockets_servers_and_a_way_through(tmp_path: Path) -> None:
    text = MINIMAL + '[cutover]\nrouter = "haproxy"\n[router.haproxy]\n'
    message = refusal(tmp_path, text)
    for key in ("sockets", "backend", "source_server", "destination_server", "probe_urls"):
        assert f"router.haproxy.{key} " in message
    text += 'sockets = ["/run/haproxy/admin.sock"]\nprobe_urls = ["host=x"]\nbackend = "shop"\n'
    text += 'source_server = "old"\n'
    message = refusal(tmp_path, text + 'destination_server = "old"\n')
    assert "router.haproxy.destination_server is 'old', the same as source_server" in message
    message = refusal(tmp_path, text + 'destination_server = "new; shutdown"\n')
    assert "accepted is a name as haproxy's configuration writes it" in message
    assert load(write(tmp_path, text + 'destination_server = "new"\n')).config.router.haproxy.sockets
