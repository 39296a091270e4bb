"""The provider of every security label is loaded on the destination.

Why it matters: labels are part of the schema, and the destination refuses one whose provider is not loaded.
How to fix: preload the provider's library on the destination.
When to ignore: the provider is loaded in another way, or under another name than its library's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.preload import preloaded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

LABELS = """
select provider, count(*) as labels
from pg_catalog.pg_seclabel
group by 1
order by 1
"""
# Providers whose library has another name.
LIBRARIES = {"selinux": "sepgsql"}


def check(ctx: ReadContext) -> Iterator[Finding]:
    """Compare the labels' providers with the libraries that are preloaded."""
    labels = ctx.source.rows(LABELS)
    loaded = preloaded(ctx.destination) if labels else []
    for row in labels:
        library = LIBRARIES.get(row.provider, row.provider)
        if library not in loaded:
            yield Finding(
                Severity.BLOCK,
                row.provider,
                f"{row.labels} security labels are of provider {row.provider}, whose library the destination "
                "does not preload",
                f"install {library} on the destination's host, add it to shared_preload_libraries, restart",
            )
