"""Which columns of a table travel, and in which COPY format.

Binary is cheaper for both servers. Text is for types whose binary form holds what means something
else on another server: object ids (arrays and composites over user-defined types carry their types'
oids, ``reg*`` values are oids), or that have no binary form.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.column_types import PARTS
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from migrator.pg.catalog import Table
    from migrator.pg.session import ReadSession

COLUMNS = """
select a.attrelid as relation,
       a.attname::text as name,
       a.atttypid as type
from pg_catalog.pg_attribute a
where a.attrelid = any (%s)
  and a.attnum > 0
  and not a.attisdropped
  and {stored}
order by a.attrelid, a.attnum
"""
STORED = {True: "a.attgenerated = ''", False: "true"}

# The types of the columns and all they are made of, each with whether it must travel as text.
# A user-defined type's oid is 16384 or more.
TEXT_TYPES = f"""
with recursive {PARTS.format(roots="t.oid = any (%s)")}
select distinct p.root
from part p
join pg_catalog.pg_type t on t.oid = p.type
where t.typsend = 0
   or t.typreceive = 0
   or t.oid in (24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4089, 4096, 4191)
   or (t.typelem >= 16384 and t.typlen = -1)
   or (t.typtype = 'c' and exists (
        select
        from pg_catalog.pg_attribute a
        where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped and a.atttypid >= 16384
   ))
"""
# The tables with values out of line. Those that the copy's snapshot sees are all in the file.
WIDE = """
select c.oid as relation
from pg_catalog.pg_class c
where c.oid = any (%s)
  and c.reltoastrelid <> 0
  and pg_catalog.pg_relation_size(c.reltoastrelid) > 0
"""


@dataclass(frozen=True)
class Shape:
    """How a table's rows travel: its stored columns in order, the COPY format, and whether a row may
    be longer than a page (``wide``).
    """

    columns: tuple[str, ...]
    binary: bool
    wide: bool = True

    @property
    def format(self) -> str:
        """Return the format's name as COPY knows it."""
        return "binary" if self.binary else "text"


def shapes(source: ReadSession, tables: list[Table]) -> dict[int, Shape]:
    """Return each table's shape by oid, read in three queries however many tables there are."""
    stored = STORED[has(source.version, Feature.GENERATED_COLUMNS)]
    rows = source.rows(COLUMNS.format(stored=stored), [[t.oid for t in tables]])
    types = sorted({row.type for row in rows})
    as_text = {row.root for row in source.rows(TEXT_TYPES, [types])}
    wide = {row.relation for row in source.rows(WIDE, [[t.oid for t in tables]])}
    columns: dict[int, list[str]] = {t.oid: [] for t in tables}
    binary = dict.fromkeys(columns, True)
    for row in rows:
        columns[row.relation].append(row.name)
        binary[row.relation] &= row.type not in as_text
    return {oid: Shape(tuple(names), binary[oid], oid in wide) for oid, names in columns.items()}
