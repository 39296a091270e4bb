"""The contract of a check. A check is one file in ``migrator/checks``, found by being there.

The file's name is the check's code. It defines ``check(ctx) -> Iterator[Finding]``; no finding means that
it passed. Its module docstring is its manual (``migrator explain NAME``): the first sentence is its title
and says what is true when it passes, then the headings Why it matters, How to fix and, where that can be,
When to ignore. Constants of the file say the rest: ``GROUP`` the part of ``migrator check`` that it belongs
to; ``BEFORE`` the transitions (``plan`` included) that it guards; ``SINCE`` the feature without which there
is nothing to check on either server; ``WAIVABLE = False`` that going on regardless cannot end well.
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
from migrator.errors import StatementFailed
from migrator.report import FindingReport
from migrator.waivers import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from migrator.context import ReadContext
    from migrator.pg.versions import Feature

INSUFFICIENT_PRIVILEGE = "42501"


class Severity(StrEnum):
    """How much a finding matters: block stops the transition, warn and info only tell."""

    BLOCK = "block"
    WARN = "warn"
    INFO = "info"


class Group(StrEnum):
    """The parts of ``migrator check``, each by the name of the old script that asked about it."""

    USER = "user"
    DB = "db"
    HBA = "hba"
    REPL = "repl"
    MISC = "misc"


@dataclass(frozen=True)
class Finding:
    """One thing that a check found: about what, what is wrong, and what fixes it.

    ``fix`` is SQL, ready to run, when ``on`` names the side whose database it is to be run in; words or a
    setting otherwise.
    """

    severity: Severity
    subject: str
    message: str
    fix: str = ""
    on: str = ""


@dataclass(frozen=True)
class Check:
    """One loaded check."""

    name: str
    group: Group
    before: tuple[str, ...]
    since: Feature | None
    waivable: bool
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
            Group(module.GROUP),
            tuple(getattr(module, "BEFORE", ("plan", "copy_schema"))),
            getattr(module, "SINCE", None),
            getattr(module, "WAIVABLE", True),
            module.check,
            inspect.cleandoc(module.__doc__ or ""),
        )
    return found


def run_checks(
    ctx: ReadContext,
    before: str,
    waivers: Mapping[str, str],
    groups: Collection[str] = tuple(Group),
) -> list[FindingReport]:
    """Run the checks that guard ``before`` (a transition, or ``plan``), worst findings first.

    What ``waivers`` name is in the answer, with the reason. A check that cannot run is a finding.
    """
    order = list(Severity)
    reports = [
        FindingReport(
            check.name,
            f.severity.value,
            f.subject,
            f.message,
            f.fix,
            f.on,
            reason(waivers, check.name, f.subject) if check.waivable else "",
        )
        for check in guarding(before, groups)
        if applies(check, ctx)
        for f in _found(check, ctx)
    ]
    return sorted(
        reports, key=lambda r: (bool(r.waived), order.index(Severity(r.severity)), r.check, r.subject)
    )


def directions(ctx: ReadContext) -> Iterator[tuple[ReadContext, Severity]]:
    """Yield the context as it is and, unless there is to be no way back, with the roles swapped.

    With each how much it matters that the way cannot be gone: ``[cutover] reverse = "auto"`` does without.
    """
    yield ctx, Severity.BLOCK
    if ctx.config.cutover.reverse != "off":
        yield (
            ctx.mirrored(),
            Severity.BLOCK if ctx.config.cutover.reverse == "required" else Severity.WARN,
        )


def guarding(before: str, groups: Collection[str] = tuple(Group)) -> list[Check]:
    """Return the checks of ``groups`` that guard ``before``."""
    return [c for c in load_all().values() if before in c.before and c.group in groups]


def applies(check: Check, ctx: ReadContext) -> bool:
    """Return whether one of the servers has what the check is about."""
    servers = (ctx.source_server, ctx.destination_server)
    return check.since is None or any(server.has(check.since) for server in servers)


def blocking(findings: Iterable[FindingReport]) -> list[FindingReport]:
    """Return the findings that stop a transition."""
    return [f for f in findings if f.severity == Severity.BLOCK and not f.waived]


def _found(check: Check, ctx: ReadContext) -> Iterator[Finding]:
    try:
        yield from check.run(ctx)
    except StatementFailed as error:
        side = str(error.fields.get("side", ""))
        missing = error.sqlstate == INSUFFICIENT_PRIVILEGE
        yield Finding(
            Severity.BLOCK,
            side or "servers",
            f"{check.name} could not be checked: {error.message}",
            "give our role the right that is named, or connect as a superuser"
            if missing
            else f"mend what the server says, then migrator check {check.group}",
        )
