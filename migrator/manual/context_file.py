"""Read the context file of the old manual: YAML with ``src_cls``, ``dst_pg`` and their like."""

from __future__ import annotations

import importlib
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from migrator.config import unaccepted
from migrator.config_convert import convert, show
from migrator.config_router import unusable_url
from migrator.config_values import Section
from migrator.errors import ConfigError, MissingPackage
from migrator.manual import pair
from migrator.manual.contexts import DEFAULT_DIRECTORY, NewContext
from migrator.pg.conninfo import conninfo_of, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What Ansible would have filled in, and nothing here does.
_FILLED = r"^(?!.*\{\{)"
_UNFILLED = "without {{ }}, which only Ansible fills in"


def _conninfo(example: str) -> Meta:
    return Meta(pattern=_FILLED + r"(postgres(ql)?://|.*=|\Z)", description=f'"{example}", {_UNFILLED}')


Name = Annotated[
    str,
    Meta(
        max_length=100,
        pattern=_FILLED + r"[^\x00-\x1f\x7f-\x9f\u2028\u2029/:]+\Z",
        description="a text of 1 to 100 characters without / and : and control characters, in quotes where "
        f"it looks like a number or a date, and {_UNFILLED}",
    ),
]
Host = Annotated[
    str, Meta(pattern=r"^[\w.:%-]+\Z", description="an address or a host name, such as 10.10.10.10")
]
Role = Annotated[
    str, Meta(pattern=_FILLED + r"[^\x00-\x1f\x7f]+\Z", description=f"the name of a role, {_UNFILLED}")
]
Directory = Annotated[
    str, Meta(pattern=_FILLED + r"[^\x00:]+\Z", description=f"a directory without a colon, {_UNFILLED}")
]
OldUrl = Annotated[str, _conninfo("postgres://user@host:port/database")]
Conninfo = Annotated[str, _conninfo("host=10.10.10.10 dbname=shop user=replicator")]


class ContextFile(Section, frozen=True):
    """The variables that meant something, with the defaults that they had."""

    src_cls: Name
    src_db: Name
    src_ip: Host
    dst_cls: Name
    dst_db: Name
    dst_ip: Host
    context_dir: Directory = DEFAULT_DIRECTORY
    src_pg: OldUrl = ""
    dst_pg: OldUrl = ""
    sub_conn: Conninfo = ""
    pg_admin_username: Role = "dbuser_dba"
    pg_replication_username: Role = "replicator"


KNOWN = {field.name for field in msgspec.structs.fields(ContextFile)}
# What the old manual took and never used, and what is to be done instead.
_PASSWORD = "put the password into the password file (~/.pgpass), as HOST:PORT:DATABASE:USER:PASSWORD"
_ROUTER = "how clients come to the destination is [cutover] router in migrator.toml"
UNUSED: dict[str, str] = {
    "pg_dbsu": "migrator connects as src_pg and dst_pg say",
    "pg_admin_password": _PASSWORD,
    "pg_replication_password": f"{_PASSWORD} of the destination server's own user, or into sub_conn",
    "pg_monitor_username": "nothing connects as this role",
    "pg_monitor_password": "nothing connects as this role",
    "src_list": "the source is the one server that src_pg or src_ip names",
    "src_dns": _ROUTER,
    "src_vip": _ROUTER,
    "dst_dns": _ROUTER,
    "dst_vip": _ROUTER,
    "dst_user": "the user is part of dst_pg, or pg_admin_username",
}


def read(path: Path, parent: str = "") -> tuple[NewContext, list[str]]:
    """Return the context that a file describes, and what of it was not used.

    ``parent`` takes the place of its ``context_dir``. Raises ConfigError naming the file and everything in
    it that is not accepted, never a password.
    """
    problems: list[str] = []
    found = _variables(path, problems)
    if problems:
        raise unaccepted(path, problems, f"edit {path}")
    notes = [f"{path}: {note}" for note in _not_used(found)]
    # Written out and empty is as good as not there.
    given = {name: value for name, value in found.items() if name in KNOWN and value not in ("", None)}
    context: ContextFile = convert(given, ContextFile, "", problems)
    if not problems:
        problems += _unusable(context)
    if problems:
        raise unaccepted(path, problems, f"edit {path}")
    source = context.src_pg or _url(context, context.src_ip, context.src_db)
    if pair.host(source) != context.src_ip:
        notes.append(
            f"{path}: src_ip is not where src_pg leads; SRCIP is the host of src_pg, and src_ip is used in "
            "the default of sub_conn only"
        )
    new = NewContext(
        parent=parent or context.context_dir,
        source_cluster=context.src_cls,
        source_database=context.src_db,
        source_url=source,
        destination_cluster=context.dst_cls,
        destination_url=context.dst_pg or _url(context, context.dst_ip, context.dst_db),
        source_conninfo=context.sub_conn
        or conninfo_of(
            {"host": context.src_ip, "dbname": context.src_db, "user": context.pg_replication_username}
        ),
    )
    return new, notes


def _variables(path: Path, problems: list[str]) -> dict[str, Any]:
    """Return what a file says of the variables that are known, and None for the others it names."""
    yaml = _yaml()
    found: dict[str, Any] = {}
    try:
        loader = yaml.SafeLoader(_text(path))
        root = loader.get_single_node()
        if not isinstance(root, yaml.MappingNode):
            problems.append("holds no variables; accepted are lines such as src_cls: pg-meta")
            return found
        for key, value in root.value:
            name = str(key.value) if isinstance(key, yaml.ScalarNode) else "a list or mapping"
            if name in found:
                problems.append(f"{show(name)} is there twice; accepted is once")
            found[name] = None
            if name in KNOWN and value.tag.startswith("!"):
                problems.append(f"{name} has the tag {show(value.tag)}; accepted is the value itself")
            elif name in KNOWN:
                found[name] = loader.construct_object(value, deep=True)
    except yaml.MarkedYAMLError as error:
        # What YAML says of it would quote it, and it may be a password.
        mark = error.problem_mark or error.context_mark
        problems.append(f"is not YAML at line {mark.line + 1}, column {mark.column + 1}")
    except yaml.YAMLError:
        problems.append("is not YAML: it holds a character that is not allowed there")
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        problem = "there is no such file"
    except OSError as error:
        problem = f"cannot be read: {error.strerror}"
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 at byte {error.start}"
    raise ConfigError(
        f"{path}: {problem}",
        hint="migrator init --source URL --destination URL",
        file=str(path),
    )


def _yaml() -> Any:
    try:
        return importlib.import_module("yaml")
    except ModuleNotFoundError:
        raise MissingPackage(
            "a context file is YAML, and pyyaml is not installed", hint="pip install 'migrator[manual]'"
        ) from None


def _not_used(found: dict[str, Any]) -> Iterator[str]:
    """Yield the variables that nothing is made of, each with what to do instead."""
    for name in found:
        if name in UNUSED:
            yield f"{name} was never used, and is not; {UNUSED[name]}"
        elif name not in KNOWN:
            near = get_close_matches(name, KNOWN, n=1, cutoff=0.8)
            meant = f"did you mean {near[0]}?" if near else f"used are {', '.join(sorted(KNOWN))}"
            yield f"{show(name)} is not a variable of a context file, and is not used; {meant}"


def _unusable(context: ContextFile) -> Iterator[str]:
    """Yield what is wrong with values that are each of the right form."""
    for name, conninfo, database in (
        ("src_pg", context.src_pg, context.src_db),
        ("dst_pg", context.dst_pg, context.dst_db),
        ("sub_conn", context.sub_conn, context.src_db),
    ):
        flaws = list(unusable_url(name, conninfo))
        yield from flaws
        if conninfo and not flaws and pair.database(conninfo) != database:
            wanted = "dst_db" if name == "dst_pg" else "src_db"
            yield (
                f"{name} leads to database {show(pair.database(conninfo))}; accepted is {wanted}, which is "
                f"{show(database)}"
            )


def _url(context: ContextFile, address: str, database: str) -> str:
    parts = {"user": context.pg_admin_username, "host": address, "dbname": database}
    return url_of(parts, scheme="postgres")
