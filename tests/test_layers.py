"""What may import what, where foreign libraries may be used, and what every file must have.

    cli → app → runner → (steps, checks, copy, switchover, routers, diff) → pg
    runner → store        render ← events        store and pg know nothing of each other

Everything is read from the source, imports for type checkers included.
"""

from __future__ import annotations

import ast
import itertools
import re
from pathlib import Path

import pytest

import migrator
from migrator import check, step

ROOT = Path(migrator.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
LONGEST = 300

# The contracts and vocabulary that all layers speak; they do nothing by themselves.
WORDS = {"errors", "events", "report", "report_copy_diff", "report_diff", "report_diff_schema", "config"}
WORDS |= {"report_repair", "workflow", "__version__"}
CONTRACTS = WORDS | {"context"}
ENGINE = {"steps", "checks", "copy", "switchover", "routers", "fences", "diff"}

# A part of migrator (a package, or a module beside them) → the other parts that it may import.
MAY_IMPORT: dict[str, set[str]] = {
    "__init__": set(),
    "__main__": {"cli"},
    # Two databases without a migration are compared without an application.
    "cli": WORDS | {"app", "data_diff", "data_repair", "diff_schema", "render", "demo", "step", "check"}
    | {"config_template", "manual", "pg"},
    "app": CONTRACTS | {"answers", "runner", "connections", "endurance", "observe", "plan", "recording"}
    | {"data_diff", "data_repair", "store", "pg", "switchover", "parts", "preflight", "check"},
    "answers": CONTRACTS | {"connections", "observe", "plan", "preflight", "check", "waivers", "store"}
    | {"copy_diff", "data_diff", "data_repair", "diff", "diff_schema", "parts", "manual", "pg"},
    "data_diff": CONTRACTS | {"connections", "copy_diff", "diff", "diff_between", "diff_kept", "pg"}
    | {"store", "switchover"},
    "data_repair": CONTRACTS | {"copy", "diff", "pg", "store", "switchover"},
    "diff_kept": CONTRACTS | {"diff", "store"},
    "diff_between": CONTRACTS | {"connections", "diff", "diff_kept", "store"},
    "copy_diff": CONTRACTS | {"connections", "copy", "diff", "pg", "store", "switchover"},
    "diff_schema": CONTRACTS | {"connections", "diff", "pg", "store"},
    "preflight": CONTRACTS | {"check", "waivers", "store", "pg"},
    "parts": {"workflow"},
    "waivers": {"errors"},
    "plan": CONTRACTS | {"observe", "check", "step", "pg", "switchover", "parts"},
    "observe_stream": CONTRACTS | {"store", "pg", "copy", "switchover"},
    "observe_comparison": {"report", "store"},
    "observe": CONTRACTS | {"observe_comparison", "observe_stream", "connections", "store", "pg", "copy"}
    | {"switchover"},
    "runner": CONTRACTS | {"step", "store"},
    "recording": WORDS | {"store"},
    "connections": CONTRACTS | {"pg", "store", "switchover", "routers", "fences", "diff"},
    "endurance": CONTRACTS,
    "check": CONTRACTS | {"checks", "waivers", "pg"},
    "step": CONTRACTS,
    "context": CONTRACTS | {"pg", "routers", "fences", "diff"},
    "steps": CONTRACTS | {"step", "copy", "switchover", "routers", "fences", "pg"},
    # What was recorded of a rehearsal and a proof is for the switchover to read.
    "checks": CONTRACTS | {"check", "pg", "switchover"},
    "copy": CONTRACTS | {"pg"},
    # The switchover's proof compares both sides.
    "switchover": CONTRACTS | {"copy", "diff", "pg"},
    "routers": CONTRACTS | {"pg", "config_router", "programs", "watchdog"},
    "fences": CONTRACTS | {"pg", "switchover", "programs", "watchdog"},
    "programs": CONTRACTS | {"pg"},
    "watchdog": {"errors", "pg"},
    # Large tables are cut as for the copy.
    "diff": CONTRACTS | {"copy", "pg"},
    "pg": {"errors", "config"},
    "store": WORDS,
    # It looks at both servers as an observer does, and writes files for people.
    "manual": CONTRACTS | {"preflight", "connections", "observe", "step", "store", "switchover", "pg"}
    | {"parts", "config_convert", "config_router", "config_template", "config_values", "render"},
    "render": {"events", "report", "report_copy_diff", "report_diff", "report_diff_schema", "workflow"}
    | {"report_repair", "errors"},
    "demo": WORDS | {"render"},
    "report": set(),
    "report_copy_diff": {"report"},
    "report_diff": {"report"},
    "report_diff_schema": {"report"},
    "report_repair": {"report", "report_diff"},
    "events": set(),
    "errors": set(),
    "workflow": {"errors"},
    "config": {"errors", "config_convert", "config_fence", "config_router", "config_values"},
    "config_convert": {"errors", "pg"},
    "config_fence": {"config_convert", "config_values"},
    "config_router": {"pg", "config_convert", "config_values"},
    "config_values": {"pg"},
    "config_template": {"config"},
}  # fmt: skip

# What is narrower than its part: these know of PostgreSQL how its texts are written, and no server.
KNOW_TEXTS_ONLY = {"cli", "config", "config_convert", "config_fence", "config_router", "config_values"}
TEXTS = {"redact", "conninfo"}

# A library → where it may be imported, as path prefixes below migrator/.
AT_HOME: dict[str, tuple[str, ...]] = {
    "psycopg": ("pg/", "demo/"),
    "psycopg.sql": ("pg/", "steps/", "checks/", "copy/", "switchover/", "diff/", "demo/", "manual/"),
    "asyncpg": ("copy/",),
    "sqlalchemy": ("store/",),
    "alembic": ("store/",),
    "transitions": ("workflow.py",),
    "click": ("cli/",),
    "rich": ("render/live.py",),
    "jinja2": ("manual/",),
    "yaml": ("manual/",),
    "subprocess": ("pg/tools.py", "programs.py", "watchdog.py", "demo/"),
}
# Each with its reason.
EXCEPTIONS: dict[tuple[str, str], str] = {
    ("switchover/subscribing.py", "psycopg.conninfo"): "takes a conninfo apart, and connects nowhere",
}

NAMES_THAT_SAY_NOTHING = {"utils", "util", "common", "helpers", "helper", "base", "misc"}
STEP_HEADINGS = ("Changes", "Recognised by", "Locks and cost", "If it fails", "Undo")
CHECK_HEADINGS = ("Why it matters", "How to fix")
WHERE_THAT_CAN_BE = "When to ignore"


def imports_of(path: Path) -> set[str]:
    """Return the full name of everything that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def where(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").parts[0]


IMPORTS = {where(path): imports_of(path) for path in FILES}


def ours(path: str) -> set[str]:
    return {name for name in IMPORTS[path] if name.split(".")[0] == "migrator" and "." in name}


def at_home(name: str, path: str) -> bool:
    """Return whether a file may import a name of a library; the longest known prefix decides."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        places = AT_HOME.get(".".join(parts[:length]))
        if places is not None:
            return path.startswith(places)
    return True


def test_every_part_of_migrator_has_its_place_in_the_order() -> None:
    parts = {part_of(path) for path in FILES}
    assert parts <= set(MAY_IMPORT), "say here what the new part may import"
    assert set(MAY_IMPORT) <= parts, "gone from migrator, and still in the table"


def test_imports_go_one_way_only() -> None:
    wrong = [
        f"{path} imports {name}"
        for path in IMPORTS
        for part in [part_of(ROOT / path)]
        for name in sorted(ours(path))
        if name.split(".")[1] not in MAY_IMPORT[part] | {part}
    ]
    assert wrong == []


def test_the_table_has_no_way_round_in_a_circle_but_those_of_the_contracts() -> None:
    # A contract names, for type checkers, what it gives; what it gives may name the contract.
    contracts = [("context", "routers"), ("context", "fences"), ("context", "diff"), ("check", "checks")]
    known = {frozenset(pair) for pair in contracts}
    circles = {
        frozenset((one, other))
        for one, other in itertools.combinations(MAY_IMPORT, 2)
        if other in MAY_IMPORT[one] and one in MAY_IMPORT[other]
    }
    assert circles == known


def test_the_engine_knows_neither_the_store_nor_the_runner_nor_the_command_line() -> None:
    for part in ENGINE | {"pg"}:
        assert not MAY_IMPORT[part] & {"store", "runner", "app", "connections", "cli", "render"}
    assert "pg" not in MAY_IMPORT["store"]
    assert "store" not in MAY_IMPORT["pg"]
    assert [part for part, may in MAY_IMPORT.items() if "cli" in may] == ["__main__"]


def test_steps_do_not_import_one_another_and_checks_neither() -> None:
    for kind in ("steps", "checks"):
        wrong = [
            f"{path} imports {name}"
            for path in IMPORTS
            if path.startswith(f"{kind}/")
            for name in ours(path)
            if name.startswith(f"migrator.{kind}.")
        ]
        assert wrong == []


def test_who_only_reads_and_hides_texts_reaches_no_server() -> None:
    wrong = [
        f"{path} imports {name}"
        for path in IMPORTS
        if part_of(ROOT / path) in KNOW_TEXTS_ONLY
        for name in ours(path)
        if name.startswith("migrator.pg.") and name.split(".")[2] not in TEXTS
    ]
    assert wrong == []


def test_every_library_stays_where_it_belongs() -> None:
    wrong = [
        f"{path} imports {name}"
        for path, names in IMPORTS.items()
        for name in sorted(names)
        if not at_home(name, path) and not excepted(path, name)
    ]
    assert wrong == []


def excepted(path: str, name: str) -> bool:
    return any(path == where_ and name.startswith(f"{what}.") for where_, what in EXCEPTIONS)


def test_every_exception_is_still_needed() -> None:
    for path, what in EXCEPTIONS:
        assert any(name.startswith(f"{what}.") for name in IMPORTS[path]), f"{path}: {what}"


@pytest.mark.parametrize("path", FILES, ids=where)
def test_a_file_says_in_its_name_what_it_is_for_and_is_not_too_long(path: Path) -> None:
    assert not {path.stem, *path.relative_to(ROOT).parent.parts} & NAMES_THAT_SAY_NOTHING
    lines = path.read_text(encoding="utf-8").count("\n")
    assert lines <= LONGEST, f"{lines} lines; a file above {LONGEST} does two things"


@pytest.mark.parametrize("name", sorted(step.load_all()))
def test_the_docstring_of_a_step_is_its_manual(name: str) -> None:
    manual = type(step.load_step(name)).__doc__ or ""
    assert headings(manual, STEP_HEADINGS) == list(STEP_HEADINGS)


@pytest.mark.parametrize("name", sorted(check.load_all()))
def test_the_docstring_of_a_check_is_its_manual(name: str) -> None:
    found = headings(check.load_all()[name].manual, (*CHECK_HEADINGS, WHERE_THAT_CAN_BE))
    assert found in (list(CHECK_HEADINGS), [*CHECK_HEADINGS, WHERE_THAT_CAN_BE])


def headings(manual: str, wanted: tuple[str, ...]) -> list[str]:
    """Return the headings of a manual that have something to say, in their order."""
    return re.findall(rf"^\s*({'|'.join(wanted)}):\s+\S", manual, re.MULTILINE)


def test_every_step_and_check_file_is_part_of_the_workflow() -> None:
    assert {path.stem for path in (ROOT / "steps").glob("[!_]*.py")} == set(step.load_all())
    assert {path.stem for path in (ROOT / "checks").glob("[!_]*.py")} == set(check.load_all())
