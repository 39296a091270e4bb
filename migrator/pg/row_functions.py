"""The user's functions that rows are computed or checked by, and what their bodies speak of.

Generated columns, checks, indexes, partition keys, statistics and materialized views call functions while
rows are copied, built upon or streamed, all of it with an empty search path. PostgreSQL does not know what
a body in quotes refers to; here it is read for names of functions, tables and types that there are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from migrator.pg.catalog import USER_SCHEMA, not_of_extension
from migrator.pg.versions import Feature, has
from migrator.pg.view_reads import READS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.session import ReadSession

# What calls functions, by the catalog row that its dependencies are noted for. A generated column's were
# noted for the column before 15, for its expression since.
CALLERS = f"""
with recursive {READS},
generated as (
    select a.attrelid, a.attnum, f.oid as expression,
           a.attrelid::pg_catalog.regclass::text || '.' || pg_catalog.quote_ident(a.attname) as name
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_attrdef f on f.adrelid = a.attrelid and f.adnum = a.attnum
    where a.atthasdef
      and {{generated}}
),
callers (kind, name, class, object, sub, oid) as (
    select 'generated column', name, 'pg_catalog.pg_class'::pg_catalog.regclass, attrelid, attnum::int, 0
    from generated
    union all
    select 'generated column', name, 'pg_catalog.pg_attrdef'::pg_catalog.regclass, expression, 0, 0
    from generated
    union all
    select case when k.conrelid = 0 then 'check of domain' else 'check' end,
           case when k.conrelid = 0 then k.contypid::pg_catalog.regtype::text
                else k.conrelid::pg_catalog.regclass::text end || '.' || pg_catalog.quote_ident(k.conname),
           'pg_catalog.pg_constraint'::pg_catalog.regclass, k.oid, 0, k.oid
    from pg_catalog.pg_constraint k
    where k.contype = 'c'
      and k.coninhcount = 0
    union all
    select 'index', i.indexrelid::pg_catalog.regclass::text,
           'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, 0, 0
    from pg_catalog.pg_index i
    where i.indisvalid
      and (i.indexprs is not null or i.indpred is not null)
    union all
    select 'partition key', k.partrelid::pg_catalog.regclass::text,
           'pg_catalog.pg_class'::pg_catalog.regclass, k.partrelid, 0, 0
    from pg_catalog.pg_partitioned_table k
    where k.partexprs is not null
    union all
    select 'statistics', pg_catalog.quote_ident(s.stxname),
           'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, 0, 0
    from pg_catalog.pg_statistic_ext s
    union all
    select 'materialized view', v.matview::pg_catalog.regclass::text,
           'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid, 0, 0
    from reads v
    join pg_catalog.pg_rewrite r on r.ev_class = v.relation
)
select distinct c.kind, c.name, c.oid, p.oid as function
from callers c
join pg_catalog.pg_depend d on d.classid = c.class and d.objid = c.object and d.objsubid = c.sub
left join pg_catalog.pg_operator o
  on d.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = d.refobjid
join pg_catalog.pg_proc p
  on p.oid = coalesce(
         o.oprcode::oid,
         case when d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass then d.refobjid end)
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where {USER_SCHEMA}
  and {not_of_extension("pg_proc", "p.oid")}
order by 1, 2, 4
"""
# A body that is no text, as SQL-standard functions have since 14, was understood when it was written.
BODIES = f"""
select p.oid,
       p.oid::pg_catalog.regprocedure::text as identity,
       l.lanname::text as language,
       p.prosrc as body,
       coalesce(pg_catalog.array_to_string(p.proconfig, E'\\n') ~ '(^|\\n)search_path=', false) as has_path,
       n.nspname as schema,
       p.proname as name
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
join pg_catalog.pg_language l on l.oid = p.prolang
where l.lanname in ('sql', 'plpgsql')
  and {{which}}
  and {not_of_extension("pg_proc", "p.oid")}
order by 2
"""
BY_OID = "p.oid = any (%s)"
BY_NAME = "p.proname = any (%s)"
# What an empty search path does not find: what PostgreSQL itself has a function or type of is found.
NAMED = """
select 'function' as kind, p.proname as name, n.nspname as schema
from pg_catalog.pg_proc p
join pg_catalog.pg_namespace n on n.oid = p.pronamespace
where p.proname = any (%(functions)s)
  and not exists (
      select
      from pg_catalog.pg_proc b
      where b.proname = p.proname and b.pronamespace = 'pg_catalog'::pg_catalog.regnamespace
  )
union
select 'relation', c.relname, n.nspname
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relname = any (%(relations)s)
  and c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
  and n.nspname !~ '^pg_'
  and n.nspname <> 'information_schema'
union
select 'type', t.typname, n.nspname
from pg_catalog.pg_type t
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
where t.typname = any (%(types)s)
  and pg_catalog.to_regtype('pg_catalog.' || pg_catalog.quote_ident(t.typname)) is null
order by 1, 2, 3
"""

IDENTIFIER = r'(?:[a-z_\u0080-\uffff][\w$]*|"(?:[^"]|"")+")'
QUALIFIED = rf"(?:(?P<schema>{IDENTIFIER})\s*\.\s*)?(?P<name>{IDENTIFIER})"
# Comments and strings; what is in a string may be run as a query, and cannot be read as one.
TEXTS = re.compile(
    r"--[^\n]*|/\*.*?\*/|\be'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|\$(?P<tag>\w*)\$.*?\$(?P=tag)\$",
    re.DOTALL | re.IGNORECASE,
)
BEGINS = r'(?<![\w."$])'
CALLED = re.compile(rf"{BEGINS}{QUALIFIED}\s*\(", re.IGNORECASE)
READ = re.compile(
    rf"(?<!distinct )\b(?:from|join|insert\s+into|update)\s+(?:only\s+)?{QUALIFIED}(?!\s*[(.])", re.IGNORECASE
)
CAST = re.compile(rf"::\s*{QUALIFIED}", re.IGNORECASE)
PATTERNS = {"function": CALLED, "relation": READ, "type": CAST}


@dataclass(frozen=True, order=True)
class Caller:
    """What calls a function: its kind and name; of a check also its constraint's oid."""

    kind: str
    name: str
    oid: int = 0


@dataclass
class RowFunction:
    """A function, what it is called by, which names in it have no schema, and which tables it reads.

    ``unqualified`` is by name the schema where there is such a thing; ``reads`` are tables' names.
    """

    identity: str
    language: str
    callers: set[Caller] = field(default_factory=set)
    unqualified: dict[str, str] = field(default_factory=dict)
    reads: set[str] = field(default_factory=set)


def row_functions(session: ReadSession) -> list[RowFunction]:
    """Return the functions in SQL and PL/pgSQL that are called for rows, directly or by one another."""
    callers: dict[int, set[Caller]] = {}
    generated = has(session.version, Feature.GENERATED_COLUMNS)
    query = CALLERS.format(generated="a.attgenerated = 's'" if generated else "false")
    for row in session.rows(query):
        callers.setdefault(row.function, set()).add(Caller(row.kind, row.name, row.oid))
    found: dict[int, RowFunction] = {}
    rows = session.rows(BODIES.format(which=BY_OID), [list(callers)]) if callers else []
    while rows:
        called: dict[tuple[str, str], set[Caller]] = {}
        bodies = {row.oid: _mentioned(row.body) for row in rows}
        known = _known(session, bodies.values())
        for row in rows:
            function = found.setdefault(row.oid, RowFunction(row.identity, row.language))
            function.callers |= callers[row.oid]
            for kind, schema, name in bodies[row.oid]:
                schemas = known.get((kind, name), [])
                if not schema and schemas and not row.has_path:
                    function.unqualified.setdefault(name, schemas[0])
                if kind == "relation" and (schema in schemas if schema else schemas):
                    function.reads.add(f"{schema or schemas[0]}.{name}")
                # What it calls has its search path, where it has one.
                if kind == "function" and schema and not row.has_path:
                    called.setdefault((schema, name), set()).update(function.callers)
        names = sorted({name for _, name in called})
        rows = [
            row
            for row in (session.rows(BODIES.format(which=BY_NAME), [names]) if names else [])
            if (row.schema, row.name) in called and row.oid not in found
        ]
        callers = {row.oid: called[row.schema, row.name] for row in rows}
    return list(found.values())


def _mentioned(body: str) -> set[tuple[str, str, str]]:
    """Return kind, schema (or nothing) and name of what a body seems to speak of."""
    text = TEXTS.sub(" ", body)
    return {
        (kind, _folded(match["schema"] or ""), _folded(match["name"]))
        for kind, pattern in PATTERNS.items()
        for match in pattern.finditer(text)
    }


def _folded(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier.lower()


def _known(
    session: ReadSession, bodies: Iterable[set[tuple[str, str, str]]]
) -> dict[tuple[str, str], list[str]]:
    words: dict[str, set[str]] = {kind: set() for kind in PATTERNS}
    for mentioned in bodies:
        for kind, _schema, name in mentioned:
            words[kind].add(name)
    known: dict[tuple[str, str], list[str]] = {}
    for row in session.rows(NAMED, {f"{kind}s": sorted(names) for kind, names in words.items()}):
        known.setdefault((row.kind, row.name), []).append(row.schema)
    return known
