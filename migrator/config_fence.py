"""The part of ``migrator.toml`` that says how a fence keeps writers out: ``[fence.…]``, a table for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from migrator.config_convert import Duration, show
from migrator.config_values import Section

if TYPE_CHECKING:
    from collections.abc import Iterator


class CommandFenceSection(Section, frozen=True):
    """The operator's own programs, which keep writers out and let them in; run without a shell."""

    raise_: tuple[str, ...] = msgspec.field(default=(), name="raise")
    release: tuple[str, ...] = ()
    timeout: Duration = Duration(60)


class FenceSection(Section, frozen=True):
    """Options of the fences, one table for each that has any."""

    command: CommandFenceSection = CommandFenceSection()


def unusable_fence(kind: str, fence: FenceSection) -> Iterator[str]:
    """Yield what the fence of that kind would miss."""
    if kind != "command":
        return
    for key, words, example in (
        ("raise", fence.command.raise_, '["./maintenance", "on"]'),
        ("release", fence.command.release, '["./maintenance", "off"]'),
    ):
        if not any(words[:1]):
            yield (
                f'fence.command.{key} is {show(list(words))}; with cutover.fence = "command" accepted is '
                f"a program and its arguments, such as {example}"
            )
