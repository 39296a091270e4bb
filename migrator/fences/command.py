"""Have a program of the operator's keep writers out, and let them in again.

``[fence.command] raise`` runs before the locks of the hand-over, which prove what it did: exit code 0 says
that writers are kept out, anything else gives the hand-over up. ``release`` runs when it is given up, after a
rehearsal, by the next run where one was killed, and when the side takes writes again. Both are told the side
as ``MIGRATOR_FROM``; their environment is that of ``migrator/programs.py``. ``release`` may run without
``raise`` having run.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from migrator import programs
from migrator.fences.undoing import undo
from migrator.pg.registry import WritableRegistry
from migrator.switchover import prelude

if TYPE_CHECKING:
    from migrator.context import ReadContext, WriteContext


class CommandFence:
    """Run the configured programs."""

    def probe(self, ctx: ReadContext) -> None:
        """Make sure that the programs exist."""
        options = ctx.config.fence.command
        programs.require("[fence.command] raise", options.raise_)
        programs.require("[fence.command] release", options.release)

    def prepare(self, ctx: WriteContext) -> None:
        """Begin with nobody kept out."""
        undo(ctx)

    def keep_out(self, ctx: WriteContext, number: int, timeout: float) -> bool:
        """Write down that ``raise`` is about to run, then run it."""
        record = prelude.record(number, "command", uuid.uuid4().hex, [])
        WritableRegistry(ctx.write_source, ctx.names).record(prelude.FENCING, record)
        options = ctx.config.fence.command
        programs.run(
            ctx,
            ctx.roles,
            "[fence.command] raise",
            options.raise_,
            timeout=min(options.timeout, timeout),
            hint=f"mend the program, then run the same command again; the {ctx.source.side} takes writes",
        )
        return True

    def let_in(self, ctx: WriteContext) -> None:
        """Run ``release`` where ``raise`` may have run."""
        undo(ctx)

    def release(self) -> None:
        """Have nothing open."""


FENCE = CommandFence
