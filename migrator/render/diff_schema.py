"""Turn what ``migrator diff --schema`` found into lines: what differs first, what is equal as a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrator.render.units import columns, plural, seconds_text, visible
from migrator.report_diff_schema import DIFFERENCES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.report_diff_schema import ObjectDifference, SchemaDiffReport

NOISE = "printed otherwise"


def diff_schema(report: SchemaDiffReport, verbose: bool = False) -> list[str]:
    """Return the objects that are not the same, with those printed otherwise when verbose, and the totals."""
    name = f"{visible(report.migration)}  {report.state}  " if report.migration else ""
    lines = [f"{name}{report.source} → {report.destination}"]
    shown = [d for d in report.differences if verbose or d.verdict != NOISE]
    lines += columns([_row(d) for d in shown])
    lines += [f"  not compared: {visible(why)}" for why in report.not_compared]
    total = [
        f"{plural(report.objects, 'object')} compared",
        f"{plural(report.count(*DIFFERENCES), 'difference')}" if report.count(*DIFFERENCES) else "equal",
    ]
    if report.count("expected"):
        total.append(f"{report.count('expected')} expected")
    if report.count(NOISE):
        total.append(f"{report.count(NOISE)} {NOISE}")
    if report.not_compared:
        total.append(f"{len(report.not_compared)} not compared")
    lines.append(f"  {' · '.join(total)} · {seconds_text(report.seconds)}")
    if verbose:
        lines.append(f"  left aside: {', '.join(report.left_aside)}")
    return lines


def ddl(differences: Iterable[ObjectDifference]) -> list[str]:
    """Return what is not the same of each object as a unified diff, the source's as the old."""
    # Only this command needs it.
    from difflib import unified_diff

    lines = []
    for difference in differences:
        mine, theirs = [], []
        for changed in difference.properties:
            mine += _property(changed.name, changed.source)
            theirs += _property(changed.name, changed.destination)
        lines.append(f"-- {difference.kind} {visible(difference.name)}: {difference.verdict}")
        compared = unified_diff(mine, theirs, "source", "destination", lineterm="")
        lines += [visible(line) for line in compared] or ["-- without properties"]
        lines.append("")
    return lines


def _row(difference: ObjectDifference) -> list[str]:
    return [difference.verdict, difference.kind, visible(difference.name), _why(difference)]


def _why(difference: ObjectDifference) -> str:
    if difference.expected:
        return difference.expected
    if difference.verdict.startswith("only"):
        return ""
    told = []
    for changed in difference.properties:
        reason = changed.expected or changed.noise
        told.append(f"{changed.name} ({reason})" if reason else changed.name)
    return ", ".join(told)


def _property(name: str, value: Any) -> list[str]:
    if value is None:
        return []
    if isinstance(value, list):
        return [f"{name}: {item}" for item in value]
    if value is True:
        return [name]
    first, *rest = str(value).split("\n")
    return [f"{name}: {first}", *(f"    {line}" for line in rest)]
