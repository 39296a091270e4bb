"""What a database holds: the tables, sequences and columns that a migration is about."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from psycopg import sql

if TYPE_CHECKING:
    from migrator.config import TablesSection
    from migrator.pg.names import Names
    from migrator.pg.session import ReadSession

# Schemas that are never the user's: PostgreSQL's own, and any migration's registry.
USER_SCHEMA = """
n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
  and not (n.nspname ~ '^migrator_'
           and coalesce(pg_catalog.obj_description(n.oid, 'pg_namespace'), '') ~ '^migrator:')
"""


def not_of_extension(catalog: str, oid: str) -> str:
    """Return the condition that a catalog's row, named by the expression ``oid``, is of no extension."""
    return f"""not exists (
    select
    from pg_catalog.pg_depend e
    where e.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass and e.objid = {oid} and e.deptype = 'e'
)"""


NOT_OF_EXTENSION = not_of_extension("pg_class", "c.oid")

# The kinds: r table, p partitioned table. A usable replica identity is a full one, or an index
# that is unique, immediate, valid, whole, and over columns that cannot be null
# (documentation 29.1.1; RelationGetIndexAttrBitmap).
# A key over a generated column is none: its value is not sent, and 18 refuses the UPDATE.
GENERATED_KEY = """
exists (
    select
    from pg_catalog.pg_attribute g
    where g.attrelid = i.indrelid
      and g.attnum = any (i.indkey)
      and g.atthasdef
      and coalesce(to_jsonb(g) ->> 'attgenerated', '') <> ''
)
"""
# A size is asked of the file system, file by file: only of those who want it.
SIZE = "coalesce(pg_catalog.pg_table_size(c.oid), 0)::bigint"
TABLES = (
    """
select c.oid,
       n.nspname as schema,
       c.relname as name,
       c.relkind::text as kind,
       c.relpersistence::text as persistence,
       c.relispartition as is_partition,
       greatest(c.reltuples, 0)::bigint as rows,
       {size} as bytes,
       case c.relreplident
            when 'f' then 'full'
            when 'n' then 'nothing'
            when 'i' then (
                select i.indexrelid::pg_catalog.regclass::text
                from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisreplident and i.indisvalid and not {generated}
            )
            else (
                select i.indexrelid::pg_catalog.regclass::text
                from pg_catalog.pg_index i
                where i.indrelid = c.oid and i.indisprimary and i.indimmediate and i.indisvalid
                  and not {generated}
            )
       end as identity
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and """
    + USER_SCHEMA
    + " and "
    + NOT_OF_EXTENSION
    + " order by n.nspname, c.relname"
).replace("{generated}", GENERATED_KEY)

# Only these come over the wire, and are asked for their sizes: of many tables, few or none are.
UNLOGGED = TABLES.replace("c.relpersistence <> 't'", "c.relpersistence = 'u'")
UNPUBLISHED = TABLES.replace(
    "where c.relkind in",
    """where not exists (
    select
    from pg_catalog.pg_publication p
    join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
    where p.pubname = any (%s) and r.prrelid = c.oid
  )
  and c.relkind in""",
)

PUBLISHED = """
select c.oid,
       n.nspname as schema,
       c.relname as name,
       greatest(c.reltuples, 0)::bigint as rows,
       {size} as bytes
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.pubname = any (%s)
  and n.nspname <> %s
order by n.nspname, c.relname
"""

# What the planner uses; the counts of when it was gathered may be forgotten in a crash.
UNANALYZED = f"""
select c.oid, n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r'
  and c.relpersistence <> 't'
  and c.reltuples > 0
  and c.relnatts > 0
  and not exists (select from pg_catalog.pg_statistic s where s.starelid = c.oid)
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
order by 2, 3
"""

INDEXES_OF_VIEWS = """
select i.indexrelid as oid
from pg_catalog.pg_index i
join pg_catalog.pg_class c on c.oid = i.indrelid
where c.relkind = 'm'
"""

# Our schema, and those of other migrations from or to this database.
REGISTRIES = """
select n.nspname as name
from pg_catalog.pg_namespace n
where n.nspname ~ '^migrator_'
  and pg_catalog.obj_description(n.oid, 'pg_namespace') ~ '^migrator:'
"""


def registries(session: ReadSession) -> list[str]:
    """Return the schemas of migrations, ours and others'."""
    return [row.name for row in session.rows(REGISTRIES)]


def label(schema: str, name: str) -> str:
    """Return ``schema.name`` for people and as a key: quoted where SQL would need it."""
    return ".".join(_quoted(part) for part in (schema, name))


def _quoted(part: str) -> str:
    plain = part.replace("_", "a").isalnum() and part.isascii() and part == part.lower()
    return part if plain and not part[0].isdigit() else '"' + part.replace('"', '""') + '"'


# Indexes of tables; those of materialized views come with the views.
INDEXES = f"""
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(x.relname)
       || case k.contype
              when 'p' then ' (primary key)'
              when 'u' then ' (unique constraint)'
              when 'x' then ' (exclusion constraint)'
              else ''
          end as name
from pg_catalog.pg_index i
join pg_catalog.pg_class x on x.oid = i.indexrelid
left join pg_catalog.pg_constraint k on k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x')
join pg_catalog.pg_class c on c.oid = i.indrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p')
  and c.relpersistence <> 't'
  and i.indisvalid
  and {USER_SCHEMA}
  and {NOT_OF_EXTENSION}
"""


@dataclass(frozen=True, slots=True)
class Relation:
    """Something that stands in a schema by a name."""

    oid: int
    schema: str
    name: str

    @property
    def identifier(self) -> sql.Identifier:
        """Return its name for use in SQL."""
        return sql.Identifier(self.schema, self.name)

    @property
    def label(self) -> str:
        """Return its name for people and as a key."""
        return label(self.schema, self.name)


@dataclass(frozen=True, slots=True)
class Table(Relation):
    """One table. ``identity`` is what UPDATE and DELETE are replicated by, or None when unusable."""

    kind: str = "r"
    persistence: str = "p"
    is_partition: bool = False
    rows: int = 0
    bytes: int = 0
    identity: str | None = None

    @property
    def publishable(self) -> bool:
        """Return whether logical replication can carry the table's rows: permanent, and not a root."""
        return self.kind == "r" and self.persistence == "p"


def selected(schema: str, name: str, options: TablesSection) -> bool:
    """Return whether ``[tables]`` takes the table in: any include pattern, and no exclude pattern."""
    full = f"{schema}.{name}"
    return any(fnmatchcase(full, p) for p in options.include) and not any(
        fnmatchcase(full, p) for p in options.exclude
    )


def all_tables(session: ReadSession, *, sizes: bool = False) -> list[Table]:
    """Return all user tables and partitioned roots; no temporary one, none of an extension.

    Without ``sizes`` their ``bytes`` are 0.
    """
    return [Table(**row._asdict()) for row in session.rows(_sized(TABLES, sizes))]


def wanted_tables(session: ReadSession, options: TablesSection, *, sizes: bool = False) -> list[Table]:
    """Return the tables whose rows the migration is to carry, as the source has them now."""
    return _wanted(all_tables(session, sizes=sizes), options)


def unpublished_tables(source: ReadSession, names: Names, options: TablesSection) -> list[Table]:
    """Return those of the wanted tables that our publications do not carry."""
    rows = source.rows(_sized(UNPUBLISHED, sizes=False), [_publications(names)])
    return _wanted([Table(**row._asdict()) for row in rows], options)


def unlogged_tables(session: ReadSession, options: TablesSection, *, sizes: bool = False) -> list[Table]:
    """Return the unlogged tables that ``[tables]`` takes in; no stream carries their rows."""
    rows = [Table(**row._asdict()) for row in session.rows(_sized(UNLOGGED, sizes))]
    return [t for t in rows if t.kind == "r" and selected(t.schema, t.name, options)]


def unanalyzed_tables(session: ReadSession) -> list[Table]:
    """Return the tables that hold rows and have no statistics."""
    return [Table(**row._asdict()) for row in session.rows(UNANALYZED)]


def published_tables(source: ReadSession, names: Names, *, sizes: bool = True) -> list[Table]:
    """Return the tables that our publications carry, without the heartbeat."""
    rows = source.rows(_sized(PUBLISHED, sizes), [_publications(names), names.schema])
    return [Table(**row._asdict()) for row in rows]


def _publications(names: Names) -> list[str]:
    return [stream.publication for stream in names.streams]


def _wanted(tables: list[Table], options: TablesSection) -> list[Table]:
    return [t for t in tables if t.publishable and selected(t.schema, t.name, options)]


def _sized(query: str, sizes: bool) -> str:
    return query.replace("{size}", SIZE if sizes else "0::bigint")


def indexes_of_views(session: ReadSession) -> set[int]:
    """Return the indexes of materialized views, which are restored together with their views."""
    return {row.oid for row in session.rows(INDEXES_OF_VIEWS)}


def unidentified(tables: list[Table]) -> list[Table]:
    """Return the tables whose UPDATE and DELETE would fail once they are published."""
    return [t for t in tables if t.identity in (None, "nothing")]


def index_names(session: ReadSession) -> set[str]:
    """Return the valid indexes of all user tables, as schema and name and what key each stands for."""
    return {row.name for row in session.rows(INDEXES)}
