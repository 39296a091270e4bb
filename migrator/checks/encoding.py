"""Both databases have the same encoding.

Why it matters: text that the destination's encoding does not have stops the copy at that row.
How to fix: create the destination with the source's encoding (from template0), or with UTF8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

LOCALE = """
select pg_catalog.pg_encoding_to_char(encoding) as encoding, datcollate as collation, datctype as ctype
from pg_catalog.pg_database
where datname = current_database()
"""


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare encoding, then collation."""
    here, there = ctx.source.rows(LOCALE)[0], ctx.destination.rows(LOCALE)[0]
    if here.encoding != there.encoding:
        yield Finding(
            Severity.WARN if there.encoding == "UTF8" else Severity.BLOCK,
            "destination",
            f"encoding is {here.encoding} here and {there.encoding} there",
            f"create database … template template0 encoding '{here.encoding}';",
        )
    if (here.collation, here.ctype) != (there.collation, there.ctype):
        yield Finding(
            Severity.WARN,
            "destination",
            f"collation is {here.collation} here and {there.collation} there: sorting may differ",
            f"create database … template template0 lc_collate '{here.collation}';",
        )
