"""The contract of a check. A check is one file in ``migrator/checks``, found by being there.

The file has the check's name and defines ``check(ctx) -> Iterator[Finding]``; no finding means that it
passed. Its module docstring is its manual (``migrator explain NAME``), with the headings Why it
matters, How to fix. ``BEFORE`` names the transitions (``plan`` included) that it guards.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import TYPE_CHECKING

import migrator.checks
from migrator.report import FindingReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from migrator.context import ReadContext


class Severity(StrEnum):
    """How much a finding matters: block stops the transition, warn and info only tell."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found: about what, what is wrong, and the SQL or setting that fixes it."""

    severity: Severity
    subject: str
    message: str
    fix: str = ""


@dataclass(frozen=True)
class Check:
    """One loaded check."""

    name: str
    before: tuple[str, ...]
    run: Callable[[ReadContext], Iterator[Finding]]
    manual: str


@cache
def load_all() -> dict[str, Check]:
    """Return every check by name, in name order; an unusable file fails here, loudly."""
    found: dict[str, Check] = {}
    for info in sorted(pkgutil.iter_modules(migrator.checks.__path__), key=lambda i: i.name):
        module = importlib.import_module(f"migrator.checks.{info.name}")
        found[info.name] = Check(
            info.name,
            tuple(getattr(module, "BEFORE", ("plan", "copy_schema"))),
            module.check,
            inspect.cleandoc(module.__doc__ or ""),
        )
    return found


def run_checks(ctx: ReadContext, before: str) -> list[FindingReport]:
    """Run the checks that guard ``before`` (a transition, or ``plan``), worst findings first."""
    order = list(Severity)
    reports = [
        FindingReport(check.name, f.severity.value, f.subject, f.message, f.fix)
        for check in load_all().values()
        if before in check.before
        for f in check.run(ctx)
    ]
    return sorted(reports, key=lambda r: (order.index(Severity(r.severity)), r.check, r.subject))


def blocking(findings: Iterable[FindingReport]) -> list[FindingReport]:
    """Return the findings that stop a transition."""
    return [f for f in findings if f.severity == Severity.BLOCK]
