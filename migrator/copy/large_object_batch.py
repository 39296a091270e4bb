"""Bring the large objects of a range of oids to what the source has, in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg import sql

from migrator.pg.database import Grant, regrant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from migrator.pg.registry import WritableRegistry
    from migrator.pg.session import ReadSession, WriteSession

# So many bytes are read and written at a time.
CHUNK = 1024 * 1024

HERE = """
select r.object::bigint as oid,
       r.pages,
       m.oid is not null as stands,
       pg_catalog.pg_get_userbyid(m.lomowner)::text as owner,
       m.lomacl::text as acl,
       d.description as comment
from {schema}.large_objects r
left join pg_catalog.pg_largeobject_metadata m
       on m.oid = r.object
      and m.oid > %(after)s::bigint::oid
      and m.oid <= %(until)s::bigint::oid
left join pg_catalog.pg_description d
       on d.classoid = 'pg_catalog.pg_largeobject'::pg_catalog.regclass
      and d.objoid = m.oid
      and d.objsubid = 0
where r.object > %(after)s::bigint::oid
  and r.object <= %(until)s::bigint::oid
"""
GRANTS = """
select m.oid::bigint as oid,
       case when a.grantee = 0 then '' else pg_catalog.pg_get_userbyid(a.grantee)::text end as grantee,
       a.privilege_type as privilege,
       a.is_grantable as grantable,
       pg_catalog.pg_get_userbyid(a.grantor)::text as grantor
from pg_catalog.pg_largeobject_metadata m
cross join lateral pg_catalog.aclexplode(
    coalesce(m.lomacl, pg_catalog.acldefault('L', m.lomowner))) a
where m.oid = any (%s::bigint[]::oid[])
order by 1, 2, 3, 5
"""
READ = """
select m.oid::bigint as oid, pg_catalog.lo_get(m.oid, %s::bigint, %s) as data
from pg_catalog.pg_largeobject_metadata m
where m.oid = any (%s::bigint[]::oid[])
"""
WRITE = """
select pg_catalog.lo_from_bytea(o.oid::oid, o.data)
from unnest(%b::bigint[], %b::bytea[]) as o (oid, data)
"""
APPEND = "select pg_catalog.lo_put(%s::bigint::oid, %s::bigint, %b)"
RECORD = """
insert into {schema}.large_objects (object, pages)
select o.oid::oid, o.pages
from unnest(%s::bigint[], %s::bigint[]) as o (oid, pages)
on conflict (object) do update set pages = excluded.pages
"""
OWNER = "alter large object {object} owner to {owner}"
COMMENT = "comment on large object {object} is {comment}"
REMOVE = """
select pg_catalog.lo_unlink(m.oid)
from pg_catalog.pg_largeobject_metadata m
join {schema}.large_objects r on r.object = m.oid
where m.oid = any (%s::bigint[]::oid[])
"""
FORGET = "delete from {schema}.large_objects where object = any (%s::bigint[]::oid[])"


def remove(registry: WritableRegistry, oids: list[int]) -> None:
    """Remove those of the objects that carry our record, and forget about them."""
    registry.run(REMOVE, [oids])
    registry.run(FORGET, [oids])


class Batch:
    """The objects of a range of oids."""

    def __init__(
        self,
        source: ReadSession,
        registry: WritableRegistry,
        after: int,
        until: int,
        sent: Callable[[int], None],
    ) -> None:
        self.source = source
        self.registry = registry
        self.session: WriteSession = registry.session
        self.range = {"after": after, "until": until}
        self.sent = sent

    def converge(self, there: dict[int, Any]) -> tuple[int, int]:
        """Bring them to what ``there`` says, in one transaction; return how many were written and removed."""
        here = self._here()
        gone = [oid for oid in here if oid not in there]
        write = [
            row
            for oid, row in there.items()
            if oid not in here or not here[oid].stands or row.changed or row.pages != here[oid].pages
        ]
        if not write and not gone and not _undressed(there, here):
            return 0, 0
        with self.session.transaction():
            stale = [*gone, *(row.oid for row in write)]
            if stale:
                remove(self.registry, stale)
            self._write(write)
            here = self._here()
            self._dress(there, here, _undressed(there, here))
        return len(write), len(gone)

    def _here(self) -> dict[int, Any]:
        return {row.oid: row for row in self.session.rows(self.registry.query(HERE), self.range)}

    def _write(self, rows: list[Any]) -> None:
        for group in _groups(rows):
            oids = [row.oid for row in group]
            # In one statement, as its snapshot sees them; one that is gone since will be missed next time.
            read = self.source.rows(READ, [0, CHUNK, oids])
            if read:
                self.session.execute(WRITE, [[r.oid for r in read], [r.data for r in read]])
                pages = {row.oid: row.pages for row in group}
                self.registry.run(RECORD, [[r.oid for r in read], [pages[r.oid] for r in read]])
            self.sent(sum(len(r.data) for r in read))
            for row in group:
                if row.span > CHUNK:
                    self._append(row.oid)

    def _append(self, oid: int) -> None:
        offset = CHUNK
        while (row := self.source.row(READ, [offset, CHUNK, [oid]])) is not None and row.data:
            self.session.execute(APPEND, [oid, offset, row.data])
            offset += len(row.data)
            self.sent(len(row.data))

    def _dress(self, there: dict[int, Any], here: dict[int, Any], oids: list[int]) -> None:
        wanted = _grants(self.source, oids)
        for oid in oids:
            thing = sql.SQL("large object {}").format(sql.Literal(oid))
            if here[oid].owner != there[oid].owner:
                owner = sql.Identifier(there[oid].owner)
                self.session.run(sql.SQL(OWNER).format(object=sql.Literal(oid), owner=owner))
            if here[oid].comment != there[oid].comment:
                comment = sql.Literal(there[oid].comment)
                self.session.run(sql.SQL(COMMENT).format(object=sql.Literal(oid), comment=comment))
            have = _grants(self.session, [oid])
            for statement in regrant(thing, have.get(oid, ()), wanted.get(oid, ()), there[oid].owner):
                self.session.run(statement)


def _undressed(there: dict[int, Any], here: dict[int, Any]) -> list[int]:
    """Return the objects whose owner, grants or comment are not as they are to be."""
    return [
        oid
        for oid, row in there.items()
        if oid in here
        and (row.owner, row.acl, row.comment) != (here[oid].owner, here[oid].acl, here[oid].comment)
    ]


def _grants(session: ReadSession, oids: list[int]) -> dict[int, tuple[Grant, ...]]:
    found: dict[int, tuple[Grant, ...]] = {}
    for row in session.rows(GRANTS, [oids]) if oids else []:
        grant = Grant(row.grantee, row.privilege, row.grantable, row.grantor)
        found[row.oid] = (*found.get(row.oid, ()), grant)
    return found


def _groups(rows: list[Any]) -> Iterator[list[Any]]:
    """Yield the objects in groups that are read in one statement: about ``CHUNK`` bytes."""
    group: list[Any] = []
    size = 0
    for row in rows:
        if group and size + min(row.span, CHUNK) > CHUNK:
            yield group
            group, size = [], 0
        group.append(row)
        size += min(row.span, CHUNK)
    if group:
        yield group
