"""What belongs to relations: constraints, indexes, triggers, rules, policies, statistics objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.diff.found import FENCE, OF_ROOT, RELATION, mine
from migrator.diff.objects.kind import (
    Kind,
    depends_on,
    flag,
    in_order,
    listed,
    qualified,
    quoted,
    relation,
    role,
)
from migrator.diff.objects.relations import OF_RELATION
from migrator.pg.versions import Feature

if TYPE_CHECKING:
    from migrator.diff.objects.kind import Versions

TABLE = qualified("c.relname")
# A partition enforces its root's foreign key by one of its own, which that is the parent of.
CLONES = """
with recursive o (oid) as (
    select k.oid
    union all
    select p.oid
    from pg_catalog.pg_constraint p
    join o on p.conparentid = o.oid
)
"""
# The triggers that enforce a foreign key can be disabled, and so can its clones' on partitions.
ENFORCED_BY = f"""
{{clones}}
select coalesce({relation("g.tgrelid")} || ' ', '') || g.tgtype
       || case g.tgenabled when 'D' then ' disabled' when 'R' then ' replica' else ' always' end
from pg_catalog.pg_trigger g
where g.tgconstraint {{these}} and g.tgisinternal and g.tgenabled <> 'O'
"""
COLUMN_STATISTICS = """
select a.attnum || ': ' || a.attstattarget
from pg_catalog.pg_attribute a
where a.attrelid = x.oid and a.attstattarget >= 0
order by a.attnum
"""
ENABLED = "case {column} when 'D' then 'disabled' when 'R' then 'replica' when 'A' then 'always' end"
POLICY_ROLES = f"""
select case r.oid when 0 then 'PUBLIC' else {role("r.oid")} end
from unnest(y.polroles) r (oid)
"""


def constraints(versions: Versions) -> Kind:
    """Return the kind of tables' constraints; not null is told with the column."""
    enforced_by = (
        ENFORCED_BY.format(clones=CLONES, these="in (select o.oid from o)")
        if versions.this(Feature.PARTITIONED_FOREIGN_KEYS)
        else ENFORCED_BY.format(clones="", these="= k.oid")
    )
    return Kind(
        kind="'constraint'",
        name=f"{quoted('k.conname')} || ' on ' || {TABLE}",
        of=OF_RELATION,
        catalog="pg_constraint",
        oid="k.oid",
        found=RELATION.format(
            more=f"""join pg_catalog.pg_constraint k
                       on k.conrelid = c.oid
                      and k.contype not in ('n', 't')
                      and not {OF_ROOT.format(row="k", column="conparentid")}"""
        ),
        properties={
            "definition": "pg_catalog.pg_get_constraintdef(k.oid)",
            "not valid": flag("not k.convalidated"),
            "deferrable": """case when k.condeferrable then
                case when k.condeferred then 'initially deferred' else 'initially immediate' end
            end""",
            "inherited": flag("not k.conislocal and not c.relispartition"),
            "triggers": f"case k.contype when 'f' then {in_order(enforced_by)} end",
        },
    )


def not_null_constraints(versions: Versions) -> Kind | None:
    """Return the kind, which both versions must have."""
    if not versions.both(Feature.NAMED_NOT_NULL):
        return None
    return Kind(
        kind="'not-null constraint'",
        name=f"{TABLE} || '.' || {quoted('a.attname')}",
        of=f"'column ' || {TABLE} || '.' || {quoted('a.attname')}",
        catalog="pg_constraint",
        oid="k.oid",
        found=RELATION.format(
            more="""join pg_catalog.pg_constraint k on k.conrelid = c.oid and k.contype = 'n'
                    join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.conkey[1]"""
        ),
        properties={
            "name": "k.conname",
            "not valid": flag("not k.convalidated"),
            "no inherit": flag("k.connoinherit"),
            "inherited": flag("not k.conislocal and not c.relispartition"),
        },
    )


def indexes(_versions: Versions) -> Kind:
    """Return the kind; the index of a constraint is part of that."""
    return Kind(
        kind="'index'",
        name=qualified("x.relname"),
        of=f"coalesce('constraint ' || {quoted('k.conname')} || ' on ' || {TABLE}, {OF_RELATION})",
        catalog="pg_class",
        oid="x.oid",
        found=RELATION.format(
            more="""join pg_catalog.pg_index i on i.indrelid = c.oid
                    join pg_catalog.pg_class x on x.oid = i.indexrelid
                    left join pg_catalog.pg_constraint k
                      on k.conindid = x.oid and k.conrelid = c.oid and k.contype in ('p', 'u', 'x')"""
        ),
        properties={
            "definition": "pg_catalog.pg_get_indexdef(x.oid)",
            "invalid": flag("not i.indisvalid"),
            "not ready": flag("not i.indisready"),
            "clustered": flag("i.indisclustered"),
            "constraint": quoted("k.conname"),
            "part of": f"""(
                select {relation("h.inhparent")} from pg_catalog.pg_inherits h where h.inhrelid = x.oid
            )""",
            "statistics": listed(COLUMN_STATISTICS),
            "depends on extensions": depends_on("pg_class", "x.oid"),
        },
    )


def triggers(_versions: Versions) -> Kind:
    """Return the kind; those of a partition that its root has are told where their state is another."""
    on_root = OF_ROOT.format(row="g", column="tgparentid")
    return Kind(
        kind="'trigger'",
        name=f"{quoted('g.tgname')} || ' on ' || {TABLE}",
        of=OF_RELATION,
        catalog="pg_trigger",
        oid="g.oid",
        found=RELATION.format(
            more="""join pg_catalog.pg_trigger g on g.tgrelid = c.oid
                     left join pg_catalog.pg_trigger u
                       on u.oid = (to_jsonb(g) ->> 'tgparentid')::oid and u.oid <> 0"""
        )
        + f"""and not g.tgisinternal
              and (not {on_root} or g.tgenabled <> u.tgenabled)
              and not {FENCE}""",
        properties={
            "definition": f"case when not {on_root} then pg_catalog.pg_get_triggerdef(g.oid) end",
            "state": "case when u.oid is not null and g.tgenabled = 'O' then 'enabled' else "
            + ENABLED.format(column="g.tgenabled")
            + " end",
            "depends on extensions": depends_on("pg_trigger", "g.oid"),
        },
    )


def rules(_versions: Versions) -> Kind:
    """Return the kind; what a view selects is told with the view."""
    return Kind(
        kind="'rule'",
        name=f"{quoted('u.rulename')} || ' on ' || {TABLE}",
        of=OF_RELATION,
        catalog="pg_rewrite",
        oid="u.oid",
        found=RELATION.format(
            more="join pg_catalog.pg_rewrite u on u.ev_class = c.oid and u.rulename <> '_RETURN'"
        ),
        properties={
            "definition": "pg_catalog.pg_get_ruledef(u.oid)",
            "state": ENABLED.format(column="u.ev_enabled"),
        },
    )


def policies(_versions: Versions) -> Kind:
    """Return the kind."""
    return Kind(
        kind="'policy'",
        name=f"{quoted('y.polname')} || ' on ' || {TABLE}",
        of=OF_RELATION,
        catalog="pg_policy",
        oid="y.oid",
        found=RELATION.format(more="join pg_catalog.pg_policy y on y.polrelid = c.oid"),
        properties={
            "for": """case y.polcmd
                when 'r' then 'select' when 'a' then 'insert' when 'w' then 'update' when 'd' then 'delete'
            end""",
            "restrictive": flag("not y.polpermissive"),
            "to": in_order(POLICY_ROLES),
            "using": "pg_catalog.pg_get_expr(y.polqual, y.polrelid)",
            "with check": "pg_catalog.pg_get_expr(y.polwithcheck, y.polrelid)",
        },
    )


def statistics_objects(_versions: Versions) -> Kind:
    """Return the kind of extended statistics."""
    return Kind(
        kind="'statistics object'",
        name=qualified("s.stxname"),
        of=f"'table ' || {relation('s.stxrelid')}",
        catalog="pg_statistic_ext",
        oid="s.oid",
        found=f"""pg_catalog.pg_statistic_ext s
            join pg_catalog.pg_namespace n on n.oid = s.stxnamespace
            where {mine("pg_statistic_ext", "s.oid")}""",
        properties={
            "definition": "pg_catalog.pg_get_statisticsobjdef(s.oid)",
            "target": "nullif(to_jsonb(s) ->> 'stxstattarget', '-1')",
        },
        owner="s.stxowner",
    )
