"""Divide the memory for index builds: one budget for all, so the more for each the fewer are built.

A sort that fits into memory takes a fifth to a third less of the server's CPU than one that is merged from
files.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from migrator.copy.machine import known_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

# By rule of thumb the shared buffers are a quarter of a server's memory: builds may use a second one.
FACTS = """
select pg_catalog.pg_size_bytes(pg_catalog.current_setting('maintenance_work_mem')) as own,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('shared_buffers')) as shared
"""
LEND = "select pg_catalog.set_config('maintenance_work_mem', %s, false)"
# What the setting takes on every platform.
MOST = 2097151 * 1024
# What a sort needs for the entries of an index, over the index's own size.
SORTED = 3


class Memory:
    """The budget, in bytes. ``own`` is what the server gives one build anyway: none gets less."""

    def __init__(self, own: int, budget: int) -> None:
        self.own = own
        self._left = budget

    @classmethod
    def of(cls, ctx: ReadContext) -> Memory:
        """Return the destination's: ``[copy] index_memory``, or what its size tells.

        Where the server runs on this machine it is no more than half of what is available.
        """
        facts = ctx.destination.rows(FACTS)[0]
        budget = int(ctx.config.copy.index_memory) or facts.shared
        available = known_memory(ctx)
        return cls(facts.own, budget if available is None else min(budget, available // 2))

    @contextmanager
    def lent(self, wanted: int, sharers: int) -> Iterator[int]:
        """Give as much as is ``wanted`` and there, when so many begin now, in bytes."""
        share = max(self._left // max(sharers, 1), self.own)
        amount = min(share, max(wanted, self.own), MOST)
        self._left -= amount
        try:
            yield amount
        finally:
            self._left += amount
