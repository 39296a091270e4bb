"""Operators and what orders by them, casts, transforms, languages, access methods, conversions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.found import mine, not_made_along
from migrator.diff.objects.kind import Kind, flag, in_order, operator, qualified, quoted, routine, type_name
from migrator.diff.objects.relations import OF_SCHEMA
from migrator.pg.catalog import not_of_extension

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

# What initdb makes has lower numbers (access/transam.h).
NOT_BUILT_IN = "{oid} >= 16384"
MEMBERS = f"""
select 'operator ' || o.amopstrategy || ' ' || {operator("o.amopopr")}
       || coalesce(' for order by ' || (
           select s.opfname::text from pg_catalog.pg_opfamily s where s.oid = o.amopsortfamily), '')
from pg_catalog.pg_amop o
where o.amopfamily = f.oid
union all
select 'function ' || a.amprocnum || ' (' || {type_name("a.amproclefttype")} || ', '
       || {type_name("a.amprocrighttype")} || ') ' || {routine("a.amproc")}
from pg_catalog.pg_amproc a
where a.amprocfamily = f.oid
"""


def own(catalog: str, oid: str) -> str:
    """Return the condition that an object, which is in no schema, is the user's own."""
    return f"{NOT_BUILT_IN.format(oid=oid)} and {not_of_extension(catalog, oid)}"


def operators(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'operator'",
        name=f"""{quoted("n.nspname")} || '.' || o.oprname || '('
            || concat_ws(', ', coalesce({type_name("o.oprleft")}, 'none'),
                         coalesce({type_name("o.oprright")}, 'none')) || ')'""",
        of=OF_SCHEMA,
        catalog="pg_operator",
        oid="o.oid",
        found=f"""pg_catalog.pg_operator o
            join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
            where {mine("pg_operator", "o.oid")}""",
        properties={
            "function": routine("o.oprcode"),
            "returns": type_name("o.oprresult"),
            "commutator": operator("o.oprcom"),
            "negator": operator("o.oprnegate"),
            "restrict": routine("o.oprrest"),
            "join": routine("o.oprjoin"),
            "hashes": flag("o.oprcanhash"),
            "merges": flag("o.oprcanmerge"),
        },
        owner="o.oprowner",
    )


def operator_families(_versions: Versions) -> Kind:
    """Return the kind, with the operators and functions of their classes."""
    return Kind(
        kind="'operator family'",
        name=f"{qualified('f.opfname')} || ' using ' || {quoted('m.amname')}",
        of=OF_SCHEMA,
        catalog="pg_opfamily",
        oid="f.oid",
        found=f"""pg_catalog.pg_opfamily f
            join pg_catalog.pg_namespace n on n.oid = f.opfnamespace
            join pg_catalog.pg_am m on m.oid = f.opfmethod
            where {mine("pg_opfamily", "f.oid")}""",
        properties={"members": in_order(MEMBERS)},
        owner="f.opfowner",
    )


def operator_classes(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'operator class'",
        name=f"{qualified('o.opcname')} || ' using ' || {quoted('m.amname')}",
        of=OF_SCHEMA,
        catalog="pg_opclass",
        oid="o.oid",
        found=f"""pg_catalog.pg_opclass o
            join pg_catalog.pg_namespace n on n.oid = o.opcnamespace
            join pg_catalog.pg_am m on m.oid = o.opcmethod
            where {mine("pg_opclass", "o.oid")}""",
        properties={
            "for type": type_name("o.opcintype"),
            "default": flag("o.opcdefault"),
            "storage": type_name("o.opckeytype"),
            "family": f"""(
                select {quoted("fn.nspname")} || '.' || {quoted("f.opfname")}
                from pg_catalog.pg_opfamily f
                join pg_catalog.pg_namespace fn on fn.oid = f.opfnamespace
                where f.oid = o.opcfamily
            )""",
        },
        owner="o.opcowner",
    )


def casts(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'cast'",
        name=f"{type_name('c.castsource')} || ' as ' || {type_name('c.casttarget')}",
        catalog="pg_cast",
        oid="c.oid",
        found=f"""pg_catalog.pg_cast c
            where {own("pg_cast", "c.oid")} and {not_made_along("pg_cast", "c.oid")}""",
        properties={
            "context": "case c.castcontext when 'a' then 'assignment' when 'i' then 'implicit' end",
            "method": "case c.castmethod when 'b' then 'binary' when 'i' then 'inout' end",
            "function": routine("c.castfunc"),
        },
    )


def transforms(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'transform'",
        name=f"{type_name('t.trftype')} || ' language ' || {quoted('l.lanname')}",
        catalog="pg_transform",
        oid="t.oid",
        found=f"""pg_catalog.pg_transform t
            join pg_catalog.pg_language l on l.oid = t.trflang
            where {own("pg_transform", "t.oid")}""",
        properties={"from": routine("t.trffromsql"), "to": routine("t.trftosql")},
    )


def languages(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'language'",
        name=quoted("l.lanname"),
        catalog="pg_language",
        oid="l.oid",
        found=f"pg_catalog.pg_language l where {own('pg_language', 'l.oid')}",
        properties={
            "trusted": flag("l.lanpltrusted"),
            "handler": routine("l.lanplcallfoid"),
            "inline": routine("l.laninline"),
            "validator": routine("l.lanvalidator"),
        },
        owner="l.lanowner",
        acl="l.lanacl",
        default_acl="'l'",
    )


def access_methods(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'access method'",
        name=quoted("m.amname"),
        catalog="pg_am",
        oid="m.oid",
        found=f"pg_catalog.pg_am m where {own('pg_am', 'm.oid')}",
        properties={"type": "m.amtype", "handler": routine("m.amhandler")},
    )


def conversions(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'conversion'",
        name=qualified("o.conname"),
        of=OF_SCHEMA,
        catalog="pg_conversion",
        oid="o.oid",
        found=f"""pg_catalog.pg_conversion o
            join pg_catalog.pg_namespace n on n.oid = o.connamespace
            where {mine("pg_conversion", "o.oid")}""",
        properties={
            "for": "pg_catalog.pg_encoding_to_char(o.conforencoding)",
            "to": "pg_catalog.pg_encoding_to_char(o.contoencoding)",
            "function": routine("o.conproc"),
            "default": flag("o.condefault"),
        },
        owner="o.conowner",
    )
