"""What a table holds, as one side's snapshot sees it: columns, their types, a key, the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from psycopg import sql

from migrator.pg.catalog import label

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

# Catalogs as the snapshot sees them: what was altered since is told by the file, which the server knows.
# A plain type is PostgreSQL's own, or an enum: it has one cast to text and operators that are always found.
# The key is the primary one, or else the narrowest unique one for which every row has all values: a
# constraint that was not validated (18 has such) forbids no null that is there already.
TABLES = """
select n.nspname as schema,
       c.relname as name,
       c.oid,
       c.relfilenode::bigint as file,
       c.relpages::bigint as pages,
       (
           select coalesce(json_agg(json_build_array(
                      a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.atttypid::bigint,
                      a.atttypmod,
                      t.typtype = 'e' or t.typtype in ('b', 'r', 'm') and a.atttypid < 16384,
                      coalesce(to_jsonb(a) ->> 'attgenerated', '') <> '',
                      not a.attnotnull)
                  order by a.attname::text collate "C"), '[]')
           from pg_catalog.pg_attribute a
           join pg_catalog.pg_type t on t.oid = a.atttypid
           where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
       ) as columns,
       (
           select k.columns
           from pg_catalog.pg_index i
           cross join lateral (
               select array_agg(a.attname::text order by o.place) as columns,
                      bool_and(a.attnotnull and not exists (
                          select
                          from pg_catalog.pg_constraint n
                          where n.conrelid = c.oid
                            and n.contype = 'n'
                            and not n.convalidated
                            and n.conkey[1] = a.attnum
                      )) as whole,
                      count(*) as width
               from unnest(i.indkey::int[]) with ordinality as o (number, place)
               join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = o.number
               where o.place <= coalesce((to_jsonb(i) ->> 'indnkeyatts')::int, i.indnatts)
           ) k
           where i.indrelid = c.oid
             and i.indisunique
             and i.indimmediate
             and i.indisvalid
             and i.indpred is null
             and i.indexprs is null
             and k.whole
           order by i.indisprimary desc, k.width, k.columns
           limit 1
       ) as key
from unnest(%s::text[], %s::text[]) as t (schema, name)
join pg_catalog.pg_namespace n on n.nspname = t.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = t.name
"""
FILE = "select coalesce(pg_catalog.pg_relation_filenode(%s::oid), 0)::bigint"

Name = tuple[str, str]


class Column(NamedTuple):
    """A column; ``type`` is its name on that server, ``oid`` and ``modifier`` how the catalog has it."""

    name: str
    type: str
    oid: int
    modifier: int
    plain: bool
    generated: bool
    nullable: bool


@dataclass(frozen=True)
class Content:
    """A table as one side's snapshot sees it; ``file`` is another one when it was rewritten.

    ``columns`` are in the order of their names. ``members`` are the tables that hold the rows: itself, or
    its partitions.
    """

    schema: str
    name: str
    oid: int
    file: int
    pages: int
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    members: tuple[Content, ...] = ()

    @property
    def label(self) -> str:
        """Return the table's name for people."""
        return label(self.schema, self.name)

    @property
    def identifier(self) -> sql.Identifier:
        """Return its name for use in SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def parts(self) -> tuple[Content, ...]:
        """Return the tables to read its rows from, each by itself."""
        return self.members or (self,)

    def is_rewritten(self, session: ReadSession) -> bool:
        """Return whether it was truncated, dropped or rewritten since: the snapshot cannot read it then."""
        return any(int(session.value(FILE, [part.oid]) or 0) != part.file for part in self.parts)


def contents(session: ReadSession, tables: list[Name]) -> dict[Name, Content]:
    """Return those of the tables that the session's snapshot has, by schema and name."""
    rows = session.rows(TABLES, [[t[0] for t in tables], [t[1] for t in tables]])
    return {
        (r.schema, r.name): Content(
            schema=r.schema,
            name=r.name,
            oid=r.oid,
            file=r.file,
            pages=r.pages,
            columns=tuple(Column(*column) for column in r.columns),
            key=tuple(r.key or ()),
        )
        for r in rows
    }
