"""A temporary database on one side, with the other side's schema in it: one server then prints both.

It carries our mark, holds no row, and is dropped at the end. One that a killed run left behind is dropped by
the next.
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from psycopg import sql

from migrator.diff.found import FENCE
from migrator.errors import Conflict
from migrator.pg.catalog import registries
from migrator.pg.conninfo import to_database
from migrator.pg.dump import dump_schema
from migrator.pg.session import ReadSession, WriteSession
from migrator.pg.versions import Feature, has

if TYPE_CHECKING:
    from collections.abc import Iterator

    from migrator.pg.names import Names
    from migrator.pg.server import Server

FIND = """
select pg_catalog.shobj_description(d.oid, 'pg_database') as mark,
       exists (select from pg_catalog.pg_stat_activity a where a.datid = d.oid) as in_use
from pg_catalog.pg_database d
where d.datname = %s
"""
# Where a text is what it is, not how it is ordered.
CREATE = "create database {name} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'"
MARK = "comment on database {name} is {mark}"
DROP = "drop database if exists {name}"
# A statement that was interrupted may still run there; it is ours, as whatever is in that database.
DROP_BY_FORCE = DROP + " with (force)"
OUR_TRIGGERS = f"select g.oid from pg_catalog.pg_trigger g where {FENCE}"
SECTIONS = ("pre-data", "post-data")
# How many entries are restored in one transaction: each holds the locks of its tables.
TOGETHER = 200


def shadow_name(server: Server, original: Server) -> str:
    """Return the name of the database that is made on ``server`` with the schema of ``original``."""
    text = "\x00".join((original.system_identifier, original.database, server.database))
    return f"migrator_shadow_{hashlib.sha256(text.encode()).hexdigest()[:10]}"


@contextmanager
def shadow(server: Server, original: Server, seen: ReadSession, names: Names) -> Iterator[ReadSession]:
    """Give a session in a new database on ``server`` with the schema of ``original``, seen through ``seen``.

    Raises Conflict when there is a database of that name that is not ours or is in use, ToolFailed,
    StatementFailed when an entry cannot be restored there.
    """
    name = shadow_name(server, original)
    mark = f"migrator:{name}"
    with WriteSession.open(server.conninfo, side=server.side, application=names.observer) as session:
        _make_way(session, name, mark)
        _create(session, name)
        try:
            _run(session, MARK, name, mark)
            inside = to_database(server.conninfo, name)
            with WriteSession.open(inside, side=server.side, application=names.observer) as filled:
                _fill(filled, server, original, seen, names)
            with ReadSession.open(inside, side=server.side, application=names.observer) as looked_at:
                yield looked_at
        finally:
            _drop(session, name)


def _make_way(session: WriteSession, name: str, mark: str) -> None:
    found = session.row(FIND, [name])
    if found is None:
        return
    if found.mark != mark or found.in_use:
        why = "is in use by another comparison" if found.mark == mark else "is not ours"
        raise Conflict(
            f"the {session.side} has a database {name}, which {why}",
            hint="wait for it, or drop the database",
            database=name,
        )
    _drop(session, name)


def _create(session: WriteSession, name: str) -> None:
    try:
        _run(session, CREATE, name)
    except KeyboardInterrupt:
        # It may have been made all the same; and there was none.
        _drop(session, name)
        raise


def _drop(session: WriteSession, name: str) -> None:
    _run(session, DROP_BY_FORCE if has(session.version, Feature.DROP_DATABASE_BY_FORCE) else DROP, name)


def _fill(session: WriteSession, server: Server, original: Server, seen: ReadSession, names: Names) -> None:
    ours = {row.oid for row in seen.rows(OUR_TRIGGERS)}
    for section in SECTIONS:
        dump = dump_schema(original, server, names, section, registries(seen))
        entries = [e for e in dump.entries if not (e.kind == "TRIGGER" and e.object_oid in ours)]
        for start in range(0, len(entries), TOGETHER):
            session.script(replace(dump, entries=tuple(entries[start : start + TOGETHER])).script)


def _run(session: WriteSession, statement: str, name: str, mark: str = "") -> None:
    session.run(sql.SQL(statement).format(name=sql.Identifier(name), mark=sql.Literal(mark)))
