"""What the schema gets after the rows, and which of it is not on the destination yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.pg.catalog import indexes_of_views, registries
from migrator.pg.dump import Entry, Part, SchemaDump, dump_schema
from migrator.pg.registry import Registry
from migrator.pg.restore import restored_keys

if TYPE_CHECKING:
    from migrator.context import ReadContext


def dump(ctx: ReadContext) -> SchemaDump:
    """Dump that section of the source's schema. Raises ToolFailed."""
    return dump_schema(
        ctx.source_server, ctx.destination_server, ctx.names, "post-data", registries(ctx.source)
    )


def missing(ctx: ReadContext, dumped: SchemaDump, part: Part) -> list[Entry]:
    """Return the entries of a part that are not recorded as restored."""
    have = restored_keys(Registry(ctx.destination, ctx.names))
    return [e for e in dumped.part(part, indexes_of_views(ctx.source)) if e.key not in have]


def definitions(ctx: ReadContext, part: Part) -> list[str]:
    """Return the SQL of a part's entries that are not recorded as restored. Raises ToolFailed."""
    return [entry.definition for entry in missing(ctx, dump(ctx), part)]
