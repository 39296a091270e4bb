"""What a database's schema is, object by object, short enough to be kept and compared.

One question for each kind of object, over the whole catalog. What belongs to a table is told with it, as
one: its columns, its indexes. The ``names`` of the same objects are the same on all versions;
``definition`` is how that server prints them, which another version may do in another way: it is compared
with what the same server printed before.
"""

from __future__ import annotations

from sys import intern
from typing import TYPE_CHECKING, NamedTuple

from migrator.diff.found import FENCE, OF_ROOT, RELATION, mine, not_made_along

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession


class Kind(NamedTuple):
    """How objects of a kind are found, called and told, as SQL."""

    object: str
    part: str
    definition: str
    found: str


QUESTION = """
select object,
       left(pg_catalog.md5(pg_catalog.convert_to(
           string_agg(part, ',' order by part collate "C"), 'UTF8')), 16) as names,
       left(pg_catalog.md5(string_agg(definition, ',' order by definition collate "C")), 16) as definition
from (
    select {object} as object, {part} as part, pg_catalog.concat_ws(' ', {definition}) as definition
    from {found}
) o
group by 1
"""
# Whoever owns it has it by default, of which the versions have more and more kinds.
GRANTS = """
pg_catalog.pg_get_userbyid({owner}),
(select string_agg(
            coalesce(r.rolname, 'public') || ' ' || a.privilege_type || ' ' || a.is_grantable,
            ',' order by r.rolname::text collate "C", a.privilege_type)
 from pg_catalog.aclexplode({acl}) a
 left join pg_catalog.pg_roles r on r.oid = a.grantee)
"""
GRANTS_ON_COLUMNS = """,
(select string_agg(a.attname || ' ' || a.attacl::text, ',' order by a.attname::text collate "C")
 from pg_catalog.pg_attribute a
 where a.attrelid = c.oid and a.attacl is not null)
"""
NAMED = "'{kind} ' || n.nspname || '.' || {name}"
OF = "'{kind} of ' || n.nspname || '.' || c.relname"

KINDS: tuple[Kind, ...] = (
    Kind(
        NAMED.format(kind="relation", name="c.relname"),
        "c.relkind::text",
        """c.relkind, c.relpersistence, c.relrowsecurity, c.relforcerowsecurity,
           pg_catalog.pg_get_expr(c.relpartbound, c.oid),
           case when c.relkind = 'p' then pg_catalog.pg_get_partkeydef(c.oid) end,
           case when c.relkind in ('v', 'm') then pg_catalog.pg_get_viewdef(c.oid) end,
           (select string_agg(i.inhparent::pg_catalog.regclass::text, ',' order by i.inhseqno)
            from pg_catalog.pg_inherits i
            where i.inhrelid = c.oid)""",
        RELATION.format(more=""),
    ),
    Kind(
        OF.format(kind="columns"),
        "a.attname::text",
        """a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull,
           (select l.collname from pg_catalog.pg_collation l where l.oid = a.attcollation),
           to_jsonb(a) ->> 'attidentity', to_jsonb(a) ->> 'attgenerated',
           pg_catalog.pg_get_expr(d.adbin, d.adrelid)""",
        RELATION.format(
            more="""join pg_catalog.pg_attribute a
                      on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
                    left join pg_catalog.pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum"""
        ),
    ),
    # Not null is a constraint from 18 on, and a property of the column on all versions.
    Kind(
        OF.format(kind="constraints"),
        "k.conname::text",
        "k.conname, pg_catalog.pg_get_constraintdef(k.oid), k.convalidated",
        RELATION.format(
            more=f"""join pg_catalog.pg_constraint k
                       on k.conrelid = c.oid
                      and k.contype not in ('n', 't')
                      and not {OF_ROOT.format(row="k", column="conparentid")}"""
        ),
    ),
    Kind(
        OF.format(kind="indexes"),
        "x.relname::text",
        "pg_catalog.pg_get_indexdef(i.indexrelid), i.indisreplident",
        RELATION.format(
            more="""join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisvalid
                    join pg_catalog.pg_class x on x.oid = i.indexrelid"""
        ),
    ),
    Kind(
        OF.format(kind="triggers"),
        "g.tgname::text",
        "pg_catalog.pg_get_triggerdef(g.oid), g.tgenabled",
        RELATION.format(
            more=f"""join pg_catalog.pg_trigger g
                       on g.tgrelid = c.oid
                      and not g.tgisinternal
                      and not {OF_ROOT.format(row="g", column="tgparentid")}
                      and not {FENCE}"""
        ),
    ),
    Kind(
        OF.format(kind="rules"),
        "u.rulename::text",
        "pg_catalog.pg_get_ruledef(u.oid), u.ev_enabled",
        RELATION.format(
            more="join pg_catalog.pg_rewrite u on u.ev_class = c.oid and u.rulename <> '_RETURN'"
        ),
    ),
    Kind(
        OF.format(kind="policies"),
        "y.polname::text",
        """y.polname, y.polcmd, y.polpermissive, pg_catalog.pg_get_expr(y.polqual, y.polrelid),
           pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid),
           (select string_agg(coalesce(r.rolname, 'public'), ',' order by r.rolname::text collate "C")
            from unnest(y.polroles) as o (oid)
            left join pg_catalog.pg_roles r on r.oid = o.oid)""",
        RELATION.format(more="join pg_catalog.pg_policy y on y.polrelid = c.oid"),
    ),
    Kind(
        NAMED.format(kind="sequence", name="c.relname"),
        "''",
        """pg_catalog.format_type(s.seqtypid, null), s.seqincrement, s.seqmin, s.seqmax, s.seqcycle,
           s.seqcache""",
        f"""pg_catalog.pg_sequence s
            join pg_catalog.pg_class c on c.oid = s.seqrelid
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relpersistence <> 't' and {mine("pg_class", "c.oid")}""",
    ),
    Kind(
        NAMED.format(
            kind="function",
            name="p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'",
        ),
        "''",
        """pg_catalog.pg_get_function_arguments(p.oid), pg_catalog.pg_get_function_result(p.oid),
           l.lanname, p.prosrc, p.probin, p.provolatile, p.proisstrict, p.prosecdef, p.proleakproof,
           p.proparallel, p.procost, p.prorows, array_to_string(p.proconfig, ','),
           to_jsonb(p) ->> 'prosqlbody'""",
        f"""pg_catalog.pg_proc p
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            join pg_catalog.pg_language l on l.oid = p.prolang
            where {mine("pg_proc", "p.oid")}
              and {not_made_along("pg_proc", "p.oid")}""",
    ),
    # Those that come with a table, an array or a range (multirange) go with these, and so do the functions
    # that construct them: before 14 ranges had fewer.
    Kind(
        NAMED.format(kind="type", name="t.typname"),
        "t.typtype::text",
        """t.typtype, pg_catalog.format_type(nullif(t.typbasetype, 0), t.typtypmod), t.typnotnull,
           t.typdefault,
           (select string_agg(e.enumlabel, ',' order by e.enumsortorder)
            from pg_catalog.pg_enum e
            where e.enumtypid = t.oid),
           (select string_agg(a.attname || ' ' || pg_catalog.format_type(a.atttypid, a.atttypmod), ','
                              order by a.attnum)
            from pg_catalog.pg_attribute a
            where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped),
           (select string_agg(k.conname || ' ' || pg_catalog.pg_get_constraintdef(k.oid), ','
                              order by k.conname)
            from pg_catalog.pg_constraint k
            where k.contypid = t.oid and k.contype <> 'n'),
           (select pg_catalog.format_type(g.rngsubtype, null)
            from pg_catalog.pg_range g
            where g.rngtypid = t.oid)""",
        f"""pg_catalog.pg_type t
            join pg_catalog.pg_namespace n on n.oid = t.typnamespace
            left join pg_catalog.pg_class c on c.oid = t.typrelid
            where t.typtype in ('c', 'd', 'e', 'r')
              and coalesce(c.relkind, 'c') = 'c'
              and {mine("pg_type", "t.oid")}""",
    ),
    Kind(
        "'grants on ' || n.nspname",
        "''",
        GRANTS.format(owner="n.nspowner", acl="n.nspacl"),
        f"pg_catalog.pg_namespace n where {mine('pg_namespace', 'n.oid')}",
    ),
    Kind(
        "'grants on ' || n.nspname || '.' || c.relname",
        "''",
        GRANTS.format(owner="c.relowner", acl="c.relacl") + GRANTS_ON_COLUMNS,
        f"""pg_catalog.pg_class c
            join pg_catalog.pg_namespace n on n.oid = c.relnamespace
            where c.relkind in ('r', 'p', 'v', 'm', 'f', 'S')
              and c.relpersistence <> 't'
              and {mine("pg_class", "c.oid")}""",
    ),
    Kind(
        NAMED.format(
            kind="grants on",
            name="p.proname || '(' || pg_catalog.pg_get_function_identity_arguments(p.oid) || ')'",
        ),
        "''",
        GRANTS.format(owner="p.proowner", acl="p.proacl"),
        f"""pg_catalog.pg_proc p
            join pg_catalog.pg_namespace n on n.oid = p.pronamespace
            where {mine("pg_proc", "p.oid")}
              and {not_made_along("pg_proc", "p.oid")}""",
    ),
)


class Object(NamedTuple):
    """What is known of an object, or of all of a kind that a table has."""

    names: str
    definition: str


Fingerprint = dict[str, Object]


def fingerprint(session: ReadSession) -> Fingerprint:
    """Return what is known of every object of the user's, by kind and name."""
    found: Fingerprint = {}
    # Many tables are alike, and the other side has the same names: each is kept once.
    alike: dict[Object, Object] = {}
    for kind in KINDS:
        for row in session.rows(QUESTION.format(**kind._asdict())):
            one = Object(row.names, row.definition)
            found[intern(row.object)] = alike.setdefault(one, one)
    return found
