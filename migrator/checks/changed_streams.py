"""The number of streams is that of the configuration.

Why it matters: the tables are divided over the streams when they are published; what is written into the
configuration afterwards changes nothing, and the streams that are there go on.
How to fix: migrator rollback-to schema_copied and advance divides anew, with a new copy; or write the
number back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.publication import STREAMS_EVENT
from migrator.pg.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.REPL
BEFORE = ("replicate", "sync_sequences", "cut_over")


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare what was asked for when the tables were published with what is asked for now."""
    record = Registry(ctx.source, ctx.names).read(STREAMS_EVENT)
    now = ctx.config.replication.streams
    if record is not None and record["wanted"] != now:
        yield Finding(
            Severity.WARN,
            "replication.streams",
            f"is {now}, and the tables were divided when it was {record['wanted']}: that stays so",
            f"set replication.streams = {record['wanted']}, or migrator rollback-to schema_copied",
        )
