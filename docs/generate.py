"""Write what the documentation takes from the program: python docs/generate.py.

The manuals of steps and checks are their docstrings, the diagram is the machine's, the table of exit
codes is made of the errors' own words. ``tests/test_docs.py`` fails when a file says something else.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import migrator.cli.main  # the errors of the command line are among those listed
from migrator import errors
from migrator.check import load_all
from migrator.step import Step, load_step
from migrator.workflow import REFRESH, STATE_MANUALS, TRANSITIONS, State, diagram

ROOT = Path(__file__).resolve().parent.parent
NOTICE = "<!-- Written by docs/generate.py. -->"

STEP_HEADINGS = ("Changes", "Recognised by", "Locks and cost", "If it fails", "Undo")
# The last one where there is such a case.
CHECK_HEADINGS = ("Why it matters", "How to fix", "When to ignore")

LISTED = (errors.__name__, migrator.cli.main.__name__)

# What no class of errors stands for.
DONE = "Done; for `status`, `plan --dry-run` and their like: the answer was given."
BUG = "A bug in migrator; the traceback is on stderr."
INTERRUPTED = "Interrupted by Ctrl-C or a signal; the same command goes on."


def generated() -> dict[Path, str]:
    """Return every file that is generated, in whole or in part, with what it must hold."""
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = fill_in(text, "states", f"```mermaid\n{diagram()}```\n\n{states_table()}")
    text = fill_in(text, "exit codes", exit_codes_table())
    return {
        readme: text,
        ROOT / "docs" / "steps.md": steps_page(),
        ROOT / "docs" / "checks.md": checks_page(),
    }


def fill_in(text: str, name: str, content: str) -> str:
    """Return ``text`` with what stands between the marks of that name replaced."""
    begin, end = f"<!-- generated: {name} -->\n", f"<!-- end: {name} -->\n"
    head, found, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"README.md has no {begin.strip()} … {end.strip()}")
    return f"{head}{begin}{content}\n{end}{tail}"


def states_table() -> str:
    """Return what is true in every state."""
    rows = [f"| `{state}` | {STATE_MANUALS[state]} |" for state in State]
    return "\n".join(["| state | what is true |", "|---|---|", *rows])


def exit_codes_table() -> str:
    """Return the exit codes with what they mean and the errors that have them."""
    rows = [f"| 0 | {DONE} | |", f"| 1 | {BUG} | `Bug` |"]
    for kind in sorted(errors.MigratorError.__subclasses__(), key=lambda kind: kind.exit_code):
        if kind.__module__ == errors.__name__:
            kinds = below(kind) or [kind]
            names = ", ".join(f"`{one.__name__}`" for one in kinds)
            rows.append(f"| {kind.exit_code} | {said(kind)} | {names} |")
    rows.append(f"| 130 | {INTERRUPTED} | `Interrupted` |")
    return "\n".join(["| code | what it means | `error` in the JSON |", "|---|---|---|", *rows])


def below(kind: type[errors.MigratorError]) -> list[type[errors.MigratorError]]:
    """Return the errors below a kind, each followed by its own."""
    found = [one for one in kind.__subclasses__() if one.__module__ in LISTED]
    return [each for one in found for each in (one, *below(one))]


def said(kind: type[errors.MigratorError]) -> str:
    """Return an error's docstring as one line."""
    return " ".join((kind.__doc__ or "").split())


def steps_page() -> str:
    """Return the manual of all steps, in the order of the workflow."""
    lines = [
        "# Steps",
        "",
        NOTICE,
        "",
        "A transition is an ordered list of steps. A step looks at the servers first and goes on from",
        "what it finds there. `migrator explain NAME` prints what stands here.",
    ]
    for transition in TRANSITIONS:
        lines += ["", f"## {transition.name}: {transition.source} → {transition.target}"]
        if transition.no_return_at is not None:
            lines += ["", f"The point of no return is `{transition.no_return_at}`."]
        for name in transition.steps:
            lines += ["", f"### {name}", "", *manual(docstring(load_step(name)), STEP_HEADINGS)]
    first, *rest = REFRESH.steps
    lines += ["", f"## {REFRESH.name}: the state stays", ""]
    lines += [f"Runs the step below, then again {', '.join(f'`{name}`' for name in rest)}."]
    lines += ["", f"### {first}", "", *manual(docstring(load_step(first)), STEP_HEADINGS)]
    return "\n".join(lines) + "\n"


def checks_page() -> str:
    """Return the manual of all checks, by name, with the transitions that each guards."""
    lines = [
        "# Checks",
        "",
        NOTICE,
        "",
        "A check looks at both servers before a transition begins. A finding that blocks stops it, with",
        "exit code 4 and the SQL that helps. `migrator explain NAME` prints what stands here.",
    ]
    for check in load_all().values():
        before = ", ".join(f"`{name}`" for name in check.before)
        lines += [
            "",
            f"## {check.name}",
            "",
            *manual(check.manual, CHECK_HEADINGS),
            f"- **Before:** {before}",
        ]
    return "\n".join(lines) + "\n"


def docstring(step: Step) -> str:
    """Return a step's manual."""
    return inspect.getdoc(type(step)) or ""


def manual(text: str, headings: tuple[str, ...]) -> list[str]:
    """Return a manual as markdown: its text, then each of its headings as an item."""
    marks = re.compile(rf"^({'|'.join(headings)}): ", re.MULTILINE)
    intro, *parts = marks.split(text.replace("``", "`"))
    lines = [" ".join(paragraph.split()) for paragraph in intro.strip().split("\n\n")]
    items = [
        f"- **{heading}:** {' '.join(body.split())}"
        for heading, body in zip(parts[::2], parts[1::2], strict=True)
    ]
    return ["\n\n".join(lines), "", *items]


if __name__ == "__main__":
    for path, content in generated().items():
        path.write_text(content, encoding="utf-8")
