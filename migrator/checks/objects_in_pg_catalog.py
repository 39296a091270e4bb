"""Nobody has made objects in PostgreSQL's own schemas.

Why it matters: what stands in pg_catalog or information_schema is taken for the server's own, and not dumped:
it is missing on the destination, and what uses it fails.
How to fix: alter … set schema to one of the user's; or make it by hand on the destination.
When to ignore: the server's vendor has put it there, and has it on the destination as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.check import Finding, Group, Severity
from migrator.pg.catalog import not_of_extension
from migrator.pg.made import FIRST_NORMAL_OBJECT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.context import ReadContext

GROUP = Group.DB

KINDS = {
    "pg_proc": ("pronamespace", "true"),
    "pg_class": ("relnamespace", "o.relkind in ('r', 'p', 'v', 'm', 'f', 'S')"),
    "pg_type": ("typnamespace", "o.typtype in ('d', 'e', 'r') or o.typtype = 'b' and o.typcategory <> 'A'"),
    "pg_operator": ("oprnamespace", "true"),
}
STRAY = "\nunion all\n".join(
    f"""
select i.type, i.identity
from pg_catalog.{catalog} o
cross join lateral pg_catalog.pg_identify_object(
    'pg_catalog.{catalog}'::pg_catalog.regclass::oid, o.oid, 0) i
where o.oid >= {FIRST_NORMAL_OBJECT}
  and o.{schema} in (
      'pg_catalog'::pg_catalog.regnamespace, 'information_schema'::pg_catalog.regnamespace
  )
  and ({rows})
  and {not_of_extension(catalog, "o.oid")}
"""
    for catalog, (schema, rows) in KINDS.items()
)


def check(ctx: ReadContext) -> Iterator[Finding]:
    """List what initdb did not make."""
    for row in ctx.source.rows(STRAY + "order by 1, 2"):
        yield Finding(
            Severity.WARN,
            row.identity,
            f"{row.type} {row.identity} is in one of PostgreSQL's own schemas, and is not migrated",
            f"alter {row.type} {row.identity} set schema public;",
            "source",
        )
