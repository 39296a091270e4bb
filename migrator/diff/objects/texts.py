"""Collations and text search."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.found import mine
from migrator.diff.objects.kind import Kind, flag, listed, qualified, quoted, routine
from migrator.diff.objects.relations import OF_SCHEMA

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

# What a locale's name is called has changed with the versions, twice.
LOCALE = "coalesce(to_jsonb(l) ->> 'colllocale', to_jsonb(l) ->> 'colliculocale', l.collcollate::text)"
MAPPINGS = f"""
select k.alias || ': ' || string_agg({quoted("dn.nspname")} || '.' || {quoted("d.dictname")}, ', '
                                     order by m.mapseqno)
from pg_catalog.pg_ts_config_map m
join pg_catalog.pg_ts_dict d on d.oid = m.mapdict
join pg_catalog.pg_namespace dn on dn.oid = d.dictnamespace
join lateral pg_catalog.ts_token_type(t.cfgparser) k on k.tokid = m.maptokentype
where m.mapcfg = t.oid
group by k.alias
order by k.alias collate "C"
"""


def collations(_versions: Versions) -> Kind:
    """Return the kind; which version of it the operating system has is no part of its definition."""
    return Kind(
        kind="'collation'",
        name=qualified("l.collname"),
        of=OF_SCHEMA,
        catalog="pg_collation",
        oid="l.oid",
        found=f"""pg_catalog.pg_collation l
            join pg_catalog.pg_namespace n on n.oid = l.collnamespace
            where {mine("pg_collation", "l.oid")}""",
        properties={
            "provider": "case l.collprovider when 'c' then 'libc' when 'i' then 'icu' else 'builtin' end",
            "locale": LOCALE,
            "ctype": f"case l.collprovider when 'c' then nullif(l.collctype::text, {LOCALE}) end",
            "rules": "to_jsonb(l) ->> 'collicurules'",
            "nondeterministic": flag("to_jsonb(l) ->> 'collisdeterministic' = 'false'"),
            "encoding": "nullif(pg_catalog.pg_encoding_to_char(l.collencoding), '')",
        },
        owner="l.collowner",
    )


def configurations(_versions: Versions) -> Kind:
    """Return the kind of text search configurations."""
    return Kind(
        kind="'text search configuration'",
        name=qualified("t.cfgname"),
        of=OF_SCHEMA,
        catalog="pg_ts_config",
        oid="t.oid",
        found=f"""pg_catalog.pg_ts_config t
            join pg_catalog.pg_namespace n on n.oid = t.cfgnamespace
            where {mine("pg_ts_config", "t.oid")}""",
        properties={
            "parser": f"""(
                select {quoted("pn.nspname")} || '.' || {quoted("p.prsname")}
                from pg_catalog.pg_ts_parser p
                join pg_catalog.pg_namespace pn on pn.oid = p.prsnamespace
                where p.oid = t.cfgparser
            )""",
            "mappings": listed(MAPPINGS),
        },
        owner="t.cfgowner",
    )


def dictionaries(_versions: Versions) -> Kind:
    """Return the kind of text search dictionaries."""
    return Kind(
        kind="'text search dictionary'",
        name=qualified("t.dictname"),
        of=OF_SCHEMA,
        catalog="pg_ts_dict",
        oid="t.oid",
        found=f"""pg_catalog.pg_ts_dict t
            join pg_catalog.pg_namespace n on n.oid = t.dictnamespace
            where {mine("pg_ts_dict", "t.oid")}""",
        properties={
            "template": f"""(
                select {quoted("pn.nspname")} || '.' || {quoted("p.tmplname")}
                from pg_catalog.pg_ts_template p
                join pg_catalog.pg_namespace pn on pn.oid = p.tmplnamespace
                where p.oid = t.dicttemplate
            )""",
            "options": "t.dictinitoption",
        },
        owner="t.dictowner",
    )


def parsers(_versions: Versions) -> Kind:
    """Return the kind of text search parsers."""
    return Kind(
        kind="'text search parser'",
        name=qualified("t.prsname"),
        of=OF_SCHEMA,
        catalog="pg_ts_parser",
        oid="t.oid",
        found=f"""pg_catalog.pg_ts_parser t
            join pg_catalog.pg_namespace n on n.oid = t.prsnamespace
            where {mine("pg_ts_parser", "t.oid")}""",
        properties={
            "start": routine("t.prsstart"),
            "next token": routine("t.prstoken"),
            "end": routine("t.prsend"),
            "headline": routine("t.prsheadline"),
            "token types": routine("t.prslextype"),
        },
    )


def templates(_versions: Versions) -> Kind:
    """Return the kind of text search templates."""
    return Kind(
        kind="'text search template'",
        name=qualified("t.tmplname"),
        of=OF_SCHEMA,
        catalog="pg_ts_template",
        oid="t.oid",
        found=f"""pg_catalog.pg_ts_template t
            join pg_catalog.pg_namespace n on n.oid = t.tmplnamespace
            where {mine("pg_ts_template", "t.oid")}""",
        properties={"init": routine("t.tmplinit"), "lexize": routine("t.tmpllexize")},
    )
