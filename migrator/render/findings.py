"""What preflight found, as lines for people and as SQL for psql."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from migrator.render.units import count_text, plural, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from migrator.report import CheckReport, FindingReport

SEVERITIES = {"block": "blocks", "warn": "warns", "info": "tells"}
WAIVED = "waived"
# As a terminal knows them (ECMA-48): red, yellow, none, grey.
COLOURS = {"block": "\x1b[31m", "warn": "\x1b[33m", "info": "", WAIVED: "\x1b[90m"}
PLAIN = "\x1b[0m"
# More of one check than so many tell nothing new on a screen.
SHOWN = 10


def findings(found: Sequence[FindingReport], *, every: bool = False, coloured: bool = False) -> list[str]:
    """Return findings by severity, blocking first, each with its fix indented below it.

    Of many by the same check the first ones stand for all, unless ``every`` one is wanted.
    """
    lines: list[str] = []
    ordered = sorted(found, key=lambda f: [*SEVERITIES, WAIVED].index(_weight(f)))
    for (weight, check), alike in groupby(ordered, lambda f: (_weight(f), f.check)):
        group = list(alike)
        shown = group if every or len(group) <= SHOWN + 1 else group[:SHOWN]
        verb = SEVERITIES.get(weight, WAIVED)
        if coloured and COLOURS[weight]:
            verb = f"{COLOURS[weight]}{verb}{PLAIN}"
        for finding in shown:
            lines += _lines(finding, verb)
        if len(shown) < len(group):
            lines.append(f"{verb}  {check}  and {count_text(len(group) - len(shown))} more; -v shows all")
    return lines


def summary(report: CheckReport) -> str:
    """Return in one line how many checks ran, how many findings stop what comes next, and what to do."""
    counted = {
        verb: sum(_weight(f) == weight for f in report.findings)
        for weight, verb in {**SEVERITIES, WAIVED: WAIVED}.items()
    }
    told = [f"{count} {verb}" for verb, count in counted.items() if count]
    what = f"{plural(report.checks, 'check')} before {report.before}"
    if not told:
        return f"{what}: nothing found"
    return f"{what}: {', '.join(told)}; migrator explain CHECK tells why"


def fix_sql(found: Iterable[FindingReport], where: dict[str, str]) -> str:
    """Return the fixes as one script for psql, in which a variable chooses the side.

    ``where`` says which server each side is. What is no SQL is there as a comment.
    """
    lines = [
        "-- What preflight found, with the SQL that fixes it. Read it first; then run one side at a time:",
        "--   psql -X -v ON_ERROR_STOP=1 -v source=1 -f THIS_FILE 'url of the source'",
        "--   psql -X -v ON_ERROR_STOP=1 -v destination=1 -f THIS_FILE 'url of the destination'",
    ]
    todo = [f for f in found if not f.waived]
    for side, place in where.items():
        lines += ["", f"\\if :{{?{side}}}", f"-- {side}: {visible(place)}"]
        for finding in (f for f in todo if f.on == side):
            lines += [*_comment(finding), finding.fix]
        lines.append("\\endif")
    by_hand = [f for f in todo if not f.on and f.fix]
    if by_hand:
        lines += ["", "-- By hand:"]
    for finding in by_hand:
        lines += [*_comment(finding), *(f"--   {visible(line)}" for line in finding.fix.splitlines())]
    return "\n".join(lines) + "\n"


def _weight(finding: FindingReport) -> str:
    return WAIVED if finding.waived else finding.severity


def _lines(finding: FindingReport, verb: str) -> list[str]:
    line = f"{verb}  {finding.check}  {visible(finding.subject)}: {visible(finding.message)}"
    if finding.waived:
        return [f"{line} ({visible(finding.waived)})"]
    head = f"on the {finding.on}: " if finding.on else ""
    fix = visible(finding.fix) if finding.on else finding.fix
    return [line, *(f"    {head}{part}" for part in fix.splitlines())]


def _comment(finding: FindingReport) -> list[str]:
    what = f"{finding.severity} {finding.check} {visible(finding.subject)}"
    return ["", f"-- {what}: {visible(finding.message)}"]
