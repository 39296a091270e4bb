"""Waivers: findings that somebody has looked at and goes on with, each for a reason that is written down.

A waiver names a check, or one subject of it as ``check:subject``. They come from ``[checks] waive`` of the
configuration, from ``--waive`` and, once given, from the state store.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

from migrator.errors import UsageProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class UnusableWaiver(UsageProblem):
    """A waiver has no reason, or names a check that is not there or that nobody may waive."""


def reason(waivers: Mapping[str, str], check: str, subject: str) -> str:
    """Return why a finding is waived; empty when it is not."""
    return waivers.get(f"{check}:{subject}") or waivers.get(check, "")


def parse(texts: Iterable[str]) -> dict[str, str]:
    """Return what ``CODE=reason`` texts say. Raises UnusableWaiver."""
    found: dict[str, str] = {}
    for text in texts:
        code, _, why = text.partition("=")
        if not code.strip() or not why.strip():
            raise UnusableWaiver(
                f"--waive {text!r} is not CODE=reason",
                hint='--waive unlogged_tables="rebuilt every night", or unlogged_tables:public.cache="…"',
            )
        found[code.strip()] = why.strip()
    return found


def refuse_unusable(waivers: Iterable[str], waivable: Mapping[str, bool]) -> None:
    """Raise UnusableWaiver for a code that is no check's, or of a check that cannot be waived.

    ``waivable`` has every check.
    """
    for code in waivers:
        name = code.partition(":")[0]
        if name not in waivable:
            near = get_close_matches(name, waivable, n=1)
            raise UnusableWaiver(
                f"there is no check {name!r} to waive" + (f"; did you mean {near[0]}?" if near else ""),
                hint="migrator explain lists the checks",
            )
        if not waivable[name]:
            raise UnusableWaiver(
                f"{name} cannot be waived: going on regardless cannot end well",
                hint=f"migrator explain {name}",
            )
