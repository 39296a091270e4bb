"""Functions of all kinds, and types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.found import mine, not_made_along
from migrator.diff.objects.kind import (
    Kind,
    alike,
    collation,
    depends_on,
    flag,
    in_order,
    listed,
    operator,
    qualified,
    quoted,
    routine,
    type_name,
)
from migrator.diff.objects.relations import OF_SCHEMA
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

# Until 10 functions had no kind.
KIND_OF_ROUTINE = """
case coalesce(
         to_jsonb(p) ->> 'prokind',
         case when to_jsonb(p) ->> 'proisagg' = 'true' then 'a'
              when to_jsonb(p) ->> 'proiswindow' = 'true' then 'w'
         end)
    when 'a' then 'aggregate'
    when 'p' then 'procedure'
    when 'w' then 'window function'
    else 'function'
end
"""
ARGUMENT_TYPES = alike("pg_catalog.oidvectortypes(p.proargtypes)")
ENUM_LABELS = """
select e.enumlabel::text
from pg_catalog.pg_enum e
where e.enumtypid = t.oid
order by e.enumsortorder
"""
ATTRIBUTES = f"""
select concat_ws(
           ' ', {quoted("a.attname")}, {type_name("a.atttypid", "a.atttypmod")},
           'collate ' || {collation("a.attcollation", "at.typcollation")})
from pg_catalog.pg_attribute a
join pg_catalog.pg_type at on at.oid = a.atttypid
where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
order by a.attnum
"""
# Apart from what they are, which servers may print otherwise: a comment is what it is.
COMMENTS_ON_ATTRIBUTES = f"""
select {quoted("a.attname")} || ': ' || b.description
from pg_catalog.pg_attribute a
join pg_catalog.pg_description b
  on b.objoid = a.attrelid
 and b.objsubid = a.attnum
 and b.classoid = 'pg_catalog.pg_class'::pg_catalog.regclass
where a.attrelid = t.typrelid and not a.attisdropped
order by a.attnum
"""
KIND_OF_TYPE = """
case t.typtype
    when 'c' then 'composite type'
    when 'd' then 'domain'
    when 'e' then 'enum'
    when 'r' then 'range type'
    when 'p' then 'shell type'
    else 'base type'
end
"""
BASE_TYPE = "case t.typtype when 'b' then {} end"


def routines(versions: Versions) -> Kind:
    """Return the kind of functions, procedures, aggregates and window functions."""
    body = "pg_catalog.pg_get_function_sqlbody(p.oid)" if versions.this(Feature.SQL_BODIES) else "null"
    finals = {"r": "read_only", "s": "shareable", "w": "read_write"}
    modify = {
        f"{what} function may modify": "case to_jsonb(g) ->> '{}' {} end".format(
            column, " ".join(f"when '{letter}' then '{word}'" for letter, word in finals.items())
        )
        for what, column in (("final", "aggfinalmodify"), ("moving final", "aggmfinalmodify"))
        if versions.both(Feature.COVERING_INDEXES)
    }
    return Kind(
        kind=KIND_OF_ROUTINE,
        name=f"{qualified('p.proname')} || '(' || {ARGUMENT_TYPES} || ')'",
        of=OF_SCHEMA,
        catalog="pg_proc",
        oid="p.oid",
        found=f"""pg_catalog.pg_proc p
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            join pg_catalog.pg_language l on l.oid = p.prolang
            left join pg_catalog.pg_aggregate g on g.aggfnoid = p.oid
            where {mine("pg_proc", "p.oid")}
              and {not_made_along("pg_proc", "p.oid")}""",
        properties={
            "arguments": "nullif(pg_catalog.pg_get_function_arguments(p.oid), '')",
            "returns": "pg_catalog.pg_get_function_result(p.oid)",
            "language": quoted("l.lanname"),
            "source": "case when g.aggfnoid is null then nullif(p.prosrc, '') end",
            "body": body,
            "library": "p.probin",
            "volatility": "case p.provolatile when 'i' then 'immutable' when 's' then 'stable' end",
            "parallel": "case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end",
            "strict": flag("p.proisstrict"),
            "security definer": flag("p.prosecdef"),
            "leakproof": flag("p.proleakproof"),
            "cost": "p.procost",
            "rows": "nullif(p.prorows, 0)",
            "support": routine("(to_jsonb(p) ->> 'prosupport')::pg_catalog.regproc"),
            "settings": in_order("select s from unnest(p.proconfig) s"),
            "depends on extensions": depends_on("pg_proc", "p.oid"),
            "transforms": in_order(f"select {type_name('f.oid')} from unnest(p.protrftypes) f (oid)"),
            "of sets": "case g.aggkind when 'o' then 'ordered' when 'h' then 'hypothetical' end",
            "transition function": routine("g.aggtransfn"),
            "state": type_name("g.aggtranstype"),
            "state size": "nullif(g.aggtransspace, 0)",
            "initial value": "g.agginitval",
            "final function": routine("g.aggfinalfn"),
            "final function extra": flag("g.aggfinalextra"),
            "combine function": routine("g.aggcombinefn"),
            "serial function": routine("g.aggserialfn"),
            "deserial function": routine("g.aggdeserialfn"),
            "moving transition function": routine("g.aggmtransfn"),
            "moving inverse function": routine("g.aggminvtransfn"),
            "moving state": type_name("g.aggmtranstype"),
            "moving state size": "nullif(g.aggmtransspace, 0)",
            "moving initial value": "g.aggminitval",
            "moving final function": routine("g.aggmfinalfn"),
            "moving final function extra": flag("g.aggmfinalextra"),
            "sort operator": operator("g.aggsortop"),
            **modify,
        },
        owner="p.proowner",
        acl="p.proacl",
        default_acl="'f'",
    )


def types(versions: Versions) -> Kind:
    """Return the kind; a table's row type goes with the table, an array with its element."""
    multirange = type_name("(to_jsonb(g) ->> 'rngmultitypid')::oid")
    return Kind(
        kind=KIND_OF_TYPE,
        name=qualified("t.typname"),
        of=OF_SCHEMA,
        catalog="pg_type",
        oid="t.oid",
        found=f"""pg_catalog.pg_type t
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            left join pg_catalog.pg_class c on c.oid = t.typrelid
            left join pg_catalog.pg_range g on g.rngtypid = t.oid
            where t.typtype <> 'm'
              and coalesce(c.relkind, 'c') = 'c'
              and not exists (select from pg_catalog.pg_type e where e.typarray = t.oid)
              and {mine("pg_type", "t.oid")}""",
        properties={
            "labels": listed(ENUM_LABELS),
            "attributes": listed(ATTRIBUTES),
            "comments on attributes": listed(COMMENTS_ON_ATTRIBUTES),
            "base type": f"case t.typtype when 'd' then {type_name('t.typbasetype', 't.typtypmod')} end",
            "not null": flag("t.typnotnull"),
            "default": "t.typdefault",
            "collation": f"""case when t.typtype in ('d', 'b') then {collation(
                "t.typcollation",
                "coalesce((select b.typcollation from pg_catalog.pg_type b where b.oid = t.typbasetype), 0)"
            )} end""",
            "subtype": type_name("g.rngsubtype"),
            "subtype collation": collation("g.rngcollation"),
            "subtype operator class":
                f"(select {quoted('s.opcname')} from pg_catalog.pg_opclass s where s.oid = g.rngsubopc)",
            "canonical": routine("g.rngcanonical"),
            "subtype difference": routine("g.rngsubdiff"),
            "multirange": multirange if versions.both(Feature.MULTIRANGES) else "null",
            "input": BASE_TYPE.format(routine("t.typinput")),
            "output": BASE_TYPE.format(routine("t.typoutput")),
            "receive": BASE_TYPE.format(routine("t.typreceive")),
            "send": BASE_TYPE.format(routine("t.typsend")),
            "typmod input": BASE_TYPE.format(routine("t.typmodin")),
            "typmod output": BASE_TYPE.format(routine("t.typmodout")),
            "analyze": BASE_TYPE.format(routine("t.typanalyze")),
            "length": BASE_TYPE.format("t.typlen"),
            "by value": BASE_TYPE.format(flag("t.typbyval")),
            "alignment": BASE_TYPE.format("t.typalign"),
            "storage": BASE_TYPE.format("t.typstorage"),
            "category": BASE_TYPE.format("t.typcategory"),
            "preferred": BASE_TYPE.format(flag("t.typispreferred")),
            "delimiter": BASE_TYPE.format("nullif(t.typdelim, ',')"),
            "element": BASE_TYPE.format(type_name("t.typelem")),
        },
        owner="t.typowner",
        acl="t.typacl",
        default_acl="'T'",
    )  # fmt: skip


def domain_constraints(_versions: Versions) -> Kind:
    """Return the kind; not null is told with the domain."""
    return Kind(
        kind="'domain constraint'",
        name=f"{quoted('k.conname')} || ' on ' || {qualified('t.typname')}",
        of=f"'domain ' || {qualified('t.typname')}",
        catalog="pg_constraint",
        oid="k.oid",
        found=f"""pg_catalog.pg_constraint k
            join pg_catalog.pg_type t on t.oid = k.contypid
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            where k.contype <> 'n' and {mine("pg_type", "t.oid")}""",
        properties={
            "definition": "pg_catalog.pg_get_constraintdef(k.oid)",
            "not valid": flag("not k.convalidated"),
        },
    )
