"""Turn the last comparison of rows into lines of ``migrator status``."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from migrator.render.units import count_text, plural, visible
from migrator.report import UNFINISHED

if TYPE_CHECKING:
    from migrator.report import ComparisonReport, StatusReport


def comparisons(report: StatusReport) -> list[str]:
    """Return a line for the last comparison that ended, and one for a newer one that did not."""
    found = [c for c in (report.comparison, report.unfinished) if c is not None]
    return [f"  {'compared':<12} {_told(comparison)}" for comparison in found]


def _told(comparison: ComparisonReport) -> str:
    age = timedelta(seconds=round(comparison.age_seconds))
    of = f", of {', '.join(map(visible, comparison.patterns))} only" if comparison.patterns else ""
    back = " on the way back" if comparison.stream == "back" else ""
    if comparison.verdict == UNFINISHED:
        return f"not finished, begun {age} ago{back}{of}: migrator diff goes on with it"
    at = f" at LSN {comparison.lsn}" if comparison.lsn else ""
    told = [f"{comparison.verdict}{at} by {comparison.how}", f"{age} ago{back}{of}"]
    total = sum(comparison.tables.values())
    amounts = [f"{count_text(comparison.tables.get('equal', 0))} of {plural(total, 'table')} equal"]
    amounts += [
        f"{count_text(count)} {verdict.replace('_', ' ')}"
        for verdict, count in comparison.tables.items()
        if verdict != "equal"
    ]
    if comparison.rows_different:
        least = " or more" if comparison.more else ""
        amounts.append(f"{plural(comparison.rows_different, 'row')}{least} different")
    if comparison.rows_unresolved:
        amounts.append(f"{plural(comparison.rows_unresolved, 'row')} not decided")
    if comparison.settled_equal is not None:
        amounts.append(
            f"at the switchover {count_text(comparison.settled_equal)} of these equal, "
            f"{count_text(comparison.settled_different or 0)} different"
        )
    return f"{', '.join(told)}: {' · '.join(amounts)}"
