"""The index builds that go on in a database."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from migrator.pg.session import ReadSession

# The index itself is not committed yet, so its name is taken from the statement that makes it.
BUILDS = """
select n.nspname || '.' || c.relname as table_name,
       coalesce(x.relname, '') as index_name,
       a.query,
       p.phase,
       case when p.tuples_total > 0 then p.tuples_done else p.blocks_done end as done,
       case when p.tuples_total > 0 then p.tuples_total else p.blocks_total end as total
from pg_catalog.pg_stat_progress_create_index p
join pg_catalog.pg_stat_activity a on a.pid = p.pid
join pg_catalog.pg_class c on c.oid = p.relid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_class x on x.oid = p.index_relid
where p.datname = current_database()
order by a.query_start, p.pid
"""
NAMED = re.compile(
    r"""\b(?:INDEX(?:\s+CONCURRENTLY)?(?:\s+IF\s+NOT\s+EXISTS)?|ADD\s+CONSTRAINT)\s+("(?:[^"]|"")+"|[^\s"(]+)""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class IndexBuild:
    """One build: ``done`` of ``total`` blocks, or tuples, of its present phase; 0 where not counted."""

    index: str
    table: str
    phase: str
    done: int
    total: int


def index_builds(session: ReadSession) -> list[IndexBuild]:
    """Return the builds that our role may see, oldest first; none before PostgreSQL 12 tells of them."""
    if not has(session.version, Feature.INDEX_PROGRESS):
        return []
    return [
        IndexBuild(r.index_name or named(r.query), r.table_name, r.phase or "", r.done or 0, r.total or 0)
        for r in session.rows(BUILDS)
    ]


def named(statement: str) -> str:
    """Return the name of the index that a statement makes, or nothing where it does not say one."""
    found = NAMED.search(statement)
    if found is None or found[1].upper() == "ON":
        return ""
    name = found[1]
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
