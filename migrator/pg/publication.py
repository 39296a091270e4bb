"""Our publications on the source, one for each stream: whose they are, what they carry, how they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import sql

from migrator.errors import ChecksBlocked
from migrator.pg.catalog import Table, unidentified

if TYPE_CHECKING:
    from collections.abc import Iterable

    from migrator.pg.names import Names, Stream
    from migrator.pg.session import ReadSession, WriteSession

# What was asked for when the tables were divided; groups of tied tables may have made fewer.
STREAMS_EVENT = "streams"

FIND = """
select pubname::text as name, pg_catalog.obj_description(oid, 'pg_publication') as mark
from pg_catalog.pg_publication
where pubname = any (%s)
"""
CARRIED = """
select r.prrelid as oid, p.pubname::text as publication
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
where p.pubname = any (%s)
"""
LISTED = """
select n.nspname as schema, c.relname as name
from pg_catalog.pg_publication p
join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
join pg_catalog.pg_class c on c.oid = r.prrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where p.pubname = %s
"""
# What holds tables together: foreign keys, and being a part of the same root.
TIES = """
select conrelid as one, confrelid as other
from pg_catalog.pg_constraint
where contype = 'f'
union all
select i.inhrelid, i.inhparent
from pg_catalog.pg_inherits i
join pg_catalog.pg_class c on c.oid = i.inhrelid
where c.relkind in ('r', 'p')
"""
CREATE = "create publication {name} for table {tables}"
MARK = "comment on publication {name} is {mark}"
DROP = "drop publication {name}"


def published_streams(session: ReadSession, names: Names) -> list[Stream]:
    """Return the streams whose publication is there and ours, by number: the streams that there are."""
    marks = _marks(session, names)
    return [s for s in names.streams if marks.get(s.publication) == names.mark]


def in_the_way(session: ReadSession, names: Names) -> str:
    """Name the publications of our names that do not carry our mark, or return nothing."""
    return ", ".join(sorted(name for name, mark in _marks(session, names).items() if mark != names.mark))


def carried_by(session: ReadSession, names: Names) -> dict[int, int]:
    """Return, by the table's oid, the number of the stream that publishes it, heartbeats included."""
    numbers = {s.publication: s.number for s in names.streams}
    rows = session.rows(CARRIED, [list(numbers)])
    return {row.oid: numbers[row.publication] for row in rows}


def listed(session: ReadSession, stream: Stream) -> set[tuple[str, str]]:
    """Return the tables of a stream's publication by schema and name, the heartbeat included."""
    return {(row.schema, row.name) for row in session.rows(LISTED, [stream.publication])}


def ties(session: ReadSession) -> list[tuple[int, int]]:
    """Return the pairs of tables, by oid, that a foreign key or inheritance holds together."""
    return [(row.one, row.other) for row in session.rows(TIES)]


def refuse_unidentified(tables: list[Table]) -> None:
    """Raise ChecksBlocked when publishing would make the application's UPDATE and DELETE fail."""
    bad = unidentified(tables)
    if bad:
        raise ChecksBlocked(
            "publishing these tables would make UPDATE and DELETE on them fail at once, because they "
            "have no usable replica identity: " + ", ".join(t.label for t in bad),
            hint="; ".join(f"alter table {t.label} replica identity full" for t in bad[:5]),
            tables=[t.label for t in bad],
        )


def create(session: WriteSession, names: Names, stream: Stream, tables: Iterable[sql.Identifier]) -> None:
    """Create and mark a stream's publication of these very tables, in the caller's transaction."""
    for statement in creation(names, stream, tables):
        session.run(statement)


def creation(names: Names, stream: Stream, tables: Iterable[sql.Identifier]) -> list[sql.Composed]:
    """Return the statements that create and mark a stream's publication."""
    name = sql.Identifier(stream.publication)
    return [
        sql.SQL(CREATE).format(name=name, tables=only(tables)),
        sql.SQL(MARK).format(name=name, mark=names.mark),
    ]


def only(tables: Iterable[sql.Identifier]) -> sql.Composed:
    """Return the tables as a publication lists them, each without those that inherit from it."""
    return sql.SQL(", ").join(sql.SQL("only {}").format(table) for table in tables)


def drop(session: WriteSession, names: Names) -> None:
    """Drop the publications that are there and ours."""
    with session.transaction():
        for statement in dropping(session, names):
            session.run(statement)


def dropping(session: ReadSession, names: Names) -> list[sql.Composed]:
    """Return the statements that drop the publications that are there and ours."""
    ours = published_streams(session, names)
    return [sql.SQL(DROP).format(name=sql.Identifier(stream.publication)) for stream in ours]


def _marks(session: ReadSession, names: Names) -> dict[str, str | None]:
    rows = session.rows(FIND, [[s.publication for s in names.streams]])
    return {row.name: row.mark for row in rows}
