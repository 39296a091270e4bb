"""How objects of one kind are found, called and told, as SQL: one question for all of them.

What is the default is left out of what is told, so that a version that does not know a property yet tells
the same as one where nobody has set it. Names are quoted by one rule of our own: PostgreSQL's has more words
in each version.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from migrator.diff.printed import NEW_WORDS
from migrator.pg.versions import Feature, has

# The parts are in one text, so that what compares like the text compares like the bytes that they are
# ordered by.
QUESTION = """
select o.kind, o.name, o.of, json_strip_nulls(o.told)::text as told
from (
    select {kind} as kind, {name} as name, {of} as of, json_build_object({properties}) as told
    from {found}
) o
order by pg_catalog.convert_to(o.kind || ' ' || o.name, 'UTF8')
"""
COMMENT = """(
    select about.description
    from pg_catalog.{description} about
    where about.objoid = {oid} and about.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass {part}
)"""
LABELS = """
select label.provider || ': ' || label.label
from pg_catalog.{label} label
where label.objoid = {oid} and label.classoid = 'pg_catalog.{catalog}'::pg_catalog.regclass {part}
"""
# Whoever owns an object is called so: what he may does not depend on his name.
PRIVILEGES = """
select case a.grantee when 0 then 'PUBLIC' when {owner} then 'OWNER' else {role} end
       || ': ' || a.privilege_type
       || case when bool_or(a.is_grantable) and a.grantee <> {owner} then ' with grant option' else '' end
from pg_catalog.aclexplode({acl}) a
where a.privilege_type <> all ('{{{unknown}}}')
group by a.grantee, a.privilege_type
"""
NOTHING = "null::text"
SHARED = {"pg_database": ("pg_shdescription", "pg_shseclabel")}


class Versions(NamedTuple):
    """The version of the server that is asked, and the older one of the two that are compared."""

    own: int
    least: int

    def both(self, feature: Feature) -> bool:
        """Return whether both servers have it."""
        return has(self.least, feature)

    def this(self, feature: Feature) -> bool:
        """Return whether the server that is asked has it."""
        return has(self.own, feature)


@dataclass(frozen=True)
class Kind:
    """Objects of a kind: how they are called and which of another they are part of (``of``).

    ``acl`` is what is granted on them, with ``default_acl`` as the letter of ``acldefault``; columns, which
    have none, belong to their table's owner.
    """

    kind: str
    name: str
    catalog: str
    oid: str
    found: str
    properties: dict[str, str] = field(default_factory=dict)
    of: str = NOTHING
    part: str = "0"
    owner: str = ""
    acl: str = ""
    default_acl: str = ""

    def question(self, versions: Versions) -> str:
        """Return the query that tells every one of them, in the order of their kinds and names."""
        told = dict(self.properties)
        if self.owner and (self.default_acl or not self.acl):
            told["owner"] = role(self.owner)
        if self.acl:
            told["privileges"] = privileges(self.owner, self.acl, self.default_acl, versions)
        if self.catalog:
            told |= about(self.catalog, self.oid, self.part)
        return QUESTION.format(
            kind=self.kind,
            name=self.name,
            of=self.of,
            properties=", ".join(f"'{name}', {expression}" for name, expression in told.items()),
            found=self.found,
        )


def about(catalog: str, oid: str, number: str = "0") -> dict[str, str]:
    """Return the SQL of an object's comment and security labels, or of the part of it with that number."""
    description, label = SHARED.get(catalog, ("pg_description", "pg_seclabel"))
    part = "" if catalog in SHARED else "and {}.objsubid = " + number
    comment = COMMENT.format(description=description, oid=oid, catalog=catalog, part=part.format("about"))
    labels = LABELS.format(label=label, oid=oid, catalog=catalog, part=part.format("label"))
    return {"comment": comment, "security labels": in_order(labels)}


def depends_on(catalog: str, oid: str) -> str:
    """Return the SQL of the extensions that an object was said to be dropped with."""
    return in_order(f"""
        select {quoted("dropped_with.extname")}
        from pg_catalog.pg_depend depends
        join pg_catalog.pg_extension dropped_with on dropped_with.oid = depends.refobjid
        where depends.classid = 'pg_catalog.{catalog}'::pg_catalog.regclass
          and depends.objid = {oid}
          and depends.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass
          and depends.deptype = 'x'
    """)


def quoted(name: str) -> str:
    """Return the SQL that quotes a name if it is not all small letters, digits and underscores."""
    return (
        f"case when {name} ~ '^[a-z_][a-z0-9_]*$' then {name}::text"
        f""" else '"' || replace({name}::text, '"', '""') || '"' end"""
    )


def qualified(name: str) -> str:
    """Return the SQL of a name in schema ``n``."""
    return f"{quoted('n.nspname')} || '.' || {quoted(name)}"


def role(oid: str) -> str:
    """Return the SQL of a role's name."""
    return quoted(f"pg_catalog.pg_get_userbyid({oid})")


def privileges(owner: str, acl: str, default_acl: str, versions: Versions) -> str:
    """Return the SQL of everything that is granted, by default too, whoever granted it.

    A privilege that one of both versions does not
    know is granted there along with the others, or not: it says nothing.
    """
    whole = f"""coalesce({acl}, pg_catalog.acldefault(({default_acl})::"char", {owner}))"""
    granted = in_order(
        PRIVILEGES.format(
            owner=owner,
            role=role("a.grantee"),
            acl=whole if default_acl else acl,
            unknown="" if versions.both(Feature.MAINTAIN_PRIVILEGE) else "MAINTAIN",
        )
    )
    return granted if default_acl else f"case when {acl} is not null then {granted} end"


def flag(condition: str) -> str:
    """Return the SQL that tells a condition only where it holds."""
    return f"nullif({condition}, false)"


def listed(query: str) -> str:
    """Return the SQL of a list in the query's order, told only where there is something in it."""
    return f"nullif(array({query}), '{{}}')"


def in_order(query: str) -> str:
    """Return the SQL of a list whose order says nothing, in the same one on all servers."""
    return listed(f"""select i.item from ({query}) i (item) order by i.item::text collate "C" """)


def routine(oid: str) -> str:
    """Return the SQL of a function's name with its arguments, told only where there is one."""
    return alike(f"nullif({oid}::oid, 0)::pg_catalog.regprocedure::text")


def operator(oid: str) -> str:
    """Return the SQL of an operator's name with its arguments, told only where there is one."""
    return alike(f"nullif({oid}::oid, 0)::pg_catalog.regoperator::text")


def type_name(oid: str, modifier: str = "null") -> str:
    """Return the SQL of a type's name, told only where there is one."""
    return alike(f"pg_catalog.format_type(nullif({oid}, 0), {modifier})")


def alike(name: str) -> str:
    """Return the SQL of a name that PostgreSQL has quoted, without the quotes that only some versions set."""
    return f"""pg_catalog.regexp_replace({name}, '"({"|".join(sorted(NEW_WORDS))})"', '\\1', 'g')"""


def collation(oid: str, unless: str = "0") -> str:
    """Return the SQL of a collation's name, told only where it is not the one that goes without saying."""
    return f"""(
        select {quoted("ln.nspname")} || '.' || {quoted("l.collname")}
        from pg_catalog.pg_collation l
        join pg_catalog.pg_namespace ln on ln.oid = l.collnamespace
        where l.oid = {oid} and l.oid <> {unless}
    )"""


def relation(oid: str) -> str:
    """Return the SQL of a relation's name, told only where there is one."""
    return f"""(
        select {quoted("rn.nspname")} || '.' || {quoted("r.relname")}
        from pg_catalog.pg_class r
        join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
        where r.oid = {oid}
    )"""
