"""Which tables two databases have in common, partitioned ones by their partitions where these are alike."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from migrator.diff.pairs import Wanted
from migrator.pg.catalog import NOT_OF_EXTENSION, USER_SCHEMA, all_tables, label

if TYPE_CHECKING:
    from migrator.diff.content import Name
    from migrator.pg.session import ReadSession

# Every leaf with the bounds on the way to it. Where a hash leads there, it may be of object ids, as an enum's
# is, and lead elsewhere on another server.
LEAVES = """
with recursive tree as (
    select c.oid as root, c.oid, '' collate "C" as bounds, false as hashed
    from pg_catalog.pg_class c
    where c.relkind = 'p' and not c.relispartition
    union all
    select t.root,
           k.oid,
           t.bounds || '/' || pg_catalog.pg_get_expr(k.relpartbound, k.oid) collate "C",
           t.hashed or p.partstrat = 'h'
    from tree t
    join pg_catalog.pg_partitioned_table p on p.partrelid = t.oid
    join pg_catalog.pg_inherits i on i.inhparent = t.oid
    join pg_catalog.pg_class k on k.oid = i.inhrelid
)
select rn.nspname as root_schema, r.relname as root, n.nspname as schema, c.relname as name, t.bounds,
       t.hashed
from tree t
join pg_catalog.pg_class r on r.oid = t.root
join pg_catalog.pg_namespace rn on rn.oid = r.relnamespace
join pg_catalog.pg_class c on c.oid = t.oid and c.relkind = 'r'
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 1, 2, 3, 4
"""
NAMES = f"""
select n.nspname as schema, c.relname as name
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where {USER_SCHEMA}
"""
FOREIGN = f"{NAMES} and c.relkind = 'f' and {NOT_OF_EXTENSION}"
# Tables that are an extension's, where they hold rows; not those that never had any.
OF_EXTENSION = f"""
{NAMES}
  and c.relkind = 'r'
  and not {NOT_OF_EXTENSION}
  and pg_catalog.pg_relation_size(c.oid) > 0
"""
LARGE_OBJECTS = "select count(*) from pg_catalog.pg_largeobject_metadata"


class Leaf(NamedTuple):
    """A partition that holds rows, and the bounds that lead to it."""

    name: Name
    bounds: str
    hashed: bool


def tables_of_both(source: ReadSession, destination: ReadSession) -> tuple[list[Wanted], dict[str, str]]:
    """Return the tables to compare, and those that one side lacks, by label, with the reason.

    Partitions are compared one by one where both sides have the same; their root as one table where not.
    """
    sides = (source, destination)
    trees = [_trees(session) for session in sides]
    tables = [{(t.schema, t.name) for t in all_tables(s) if not t.is_partition} for s in sides]
    wanted = list[Wanted]()
    for name in sorted(tables[0] & tables[1]):
        here, there = (side.get(name, ()) for side in trees)
        if here == there and not any(leaf.hashed for leaf in here):
            wanted += [Wanted(leaf.name) for leaf in here] or [Wanted(name)]
        else:
            wanted.append(Wanted(name, (_names(here), _names(there))))
    lacking = ((source, tables[1] - tables[0]), (destination, tables[0] - tables[1]))
    missing = {label(*n): f"the {session.side} does not have it" for session, names in lacking for n in names}
    return wanted, missing


def roots(session: ReadSession) -> dict[Name, Name]:
    """Return the table at the root of each partition that holds rows."""
    return {leaf.name: root for root, leaves in _trees(session).items() for leaf in leaves}


def foreign_tables(session: ReadSession) -> list[tuple[str, str]]:
    """Return schema and name of all user tables whose rows another server has."""
    return [(row.schema, row.name) for row in session.rows(FOREIGN)]


def left_out(*sessions: ReadSession) -> dict[str, int]:
    """Return how much a comparison of tables leaves out that any of the databases has, by the reason."""
    found: dict[str, set[Name]] = defaultdict(set)
    for session in sessions:
        found["foreign"].update(foreign_tables(session))
        found["extension"].update((row.schema, row.name) for row in session.rows(OF_EXTENSION))
    counts = {why: len(names) for why, names in found.items() if names}
    return counts | large_objects(*sessions)


def large_objects(*sessions: ReadSession) -> dict[str, int]:
    """Return how many large objects there are, where there are most, by that reason; nothing for none."""
    most = max(session.value(LARGE_OBJECTS) for session in sessions)
    return {"large_object": most} if most else {}


def _trees(session: ReadSession) -> dict[Name, tuple[Leaf, ...]]:
    found: dict[Name, list[Leaf]] = defaultdict(list)
    for row in session.rows(LEAVES):
        found[row.root_schema, row.root].append(Leaf((row.schema, row.name), row.bounds, row.hashed))
    return {root: tuple(leaves) for root, leaves in found.items()}


def _names(leaves: tuple[Leaf, ...]) -> tuple[Name, ...]:
    return tuple(leaf.name for leaf in leaves)
