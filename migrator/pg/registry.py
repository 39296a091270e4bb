"""Our own schema on each server: heartbeat, journal, and the list of what we made there.

The facts that only a server can know for certain are written there, in the same transaction as the
work they speak of: which tables' rows are in, which objects are ours, whether the cutover is
committed. The schema carries our mark as its comment; without it, the schema is somebody else's.
"""

from __future__ import annotations

import json
from enum import Enum
from typing import TYPE_CHECKING, Any

from psycopg import sql

if TYPE_CHECKING:
    from migrator.pg.names import Names, Stream
    from migrator.pg.session import ReadSession, WriteSession

FIND = """
select pg_catalog.obj_description(oid, 'pg_namespace') as mark
from pg_catalog.pg_namespace
where nspname = %s
"""

CREATE = """
create schema {schema};
comment on schema {schema} is {mark};
create table {schema}.heartbeat (
    id int not null,
    token bigint not null,
    at timestamptz not null
) partition by list (id);
create table {schema}.journal (
    event text primary key,
    detail jsonb not null,
    at timestamptz not null default clock_timestamp()
);
create sequence {schema}.refused;
create table {schema}.copied (
    relation oid not null,
    piece int not null,
    pieces int not null,
    position pg_lsn not null,
    filenode bigint not null,
    definition text not null,
    rows bigint not null,
    bytes bigint not null,
    at timestamptz not null default clock_timestamp(),
    primary key (relation, piece)
);
create table {schema}.unlogged (
    relation oid primary key,
    rows bigint not null,
    bytes bigint not null,
    seconds float8 not null,
    at timestamptz not null default clock_timestamp()
);
create table {schema}.large_objects (
    object oid primary key,
    pages bigint not null
);
create table {schema}.identities (
    relation oid primary key,
    before "char" not null,
    before_index text,
    after "char",
    after_index text,
    at timestamptz not null default clock_timestamp()
);
create table {schema}.made (
    class oid not null,
    object oid not null,
    step text not null,
    key text not null,
    primary key (class, object)
);
create table {schema}.restored (
    key text primary key,
    step text not null,
    at timestamptz not null default clock_timestamp()
);
"""

# One part for each stream, which alone carries it; it goes with the schema, so that no token comes twice.
FIND_HEARTBEAT = "select pg_catalog.to_regclass(%s)"
ADD_HEARTBEAT = """
create table {part} partition of {schema}.heartbeat (primary key (id)) for values in ({number});
insert into {part} values ({number}, 0, clock_timestamp())
"""

DROP = "drop schema if exists {schema} cascade"

READ = "select detail from {schema}.journal where event = %s"

RECORD = """
insert into {schema}.journal (event, detail)
values (%s, %s)
on conflict (event) do update set detail = excluded.detail, at = clock_timestamp()
"""

READ_SOME = "select event, detail from {schema}.journal where event = any (%s)"

FORGET = "delete from {schema}.journal where event = %s"


class Ownership(Enum):
    """Whose an object of our name is."""

    ABSENT = "absent"
    OURS = "ours"
    FOREIGN = "foreign"


class Registry:
    """Our schema, seen through one session."""

    def __init__(self, session: ReadSession, names: Names) -> None:
        self.session = session
        self.names = names

    def ownership(self) -> Ownership:
        """Say whether the schema is there and carries our mark."""
        row = self.session.row(FIND, [self.names.schema])
        if row is None:
            return Ownership.ABSENT
        return Ownership.OURS if row.mark == self.names.mark else Ownership.FOREIGN

    def is_ours(self) -> bool:
        """Return whether the schema is there and ours."""
        return self.ownership() is Ownership.OURS

    def read(self, event: str) -> dict[str, Any] | None:
        """Return what the journal says of ``event``, or None."""
        if not self.is_ours():
            return None
        detail: dict[str, Any] | None = self.session.value(self.query(READ), [event])
        return detail

    def read_some(self, events: list[str]) -> dict[str, dict[str, Any]]:
        """Return what the journal says of those of ``events`` that are in it."""
        return {row.event: row.detail for row in self.rows(READ_SOME, [events])}

    def rows(self, query: str, params: list[Any] | None = None) -> list[Any]:
        """Return rows of a query over our tables (``{schema}``), none where there is no schema."""
        return self.session.rows(self.query(query), params) if self.is_ours() else []

    @property
    def creation(self) -> sql.Composed:
        """Return the statements that create the schema and its tables."""
        return self.query(CREATE)

    @property
    def removal(self) -> sql.Composed:
        """Return the statement that drops the schema."""
        return self.query(DROP)

    def query(self, text: str) -> sql.Composed:
        """Return ``text`` with ``{schema}`` as our schema and ``{mark}`` as our mark."""
        return sql.SQL(text).format(
            schema=sql.Identifier(self.names.schema), mark=sql.Literal(self.names.mark)
        )


class WritableRegistry(Registry):
    """Our schema, through a session that may write."""

    session: WriteSession

    def __init__(self, session: WriteSession, names: Names) -> None:
        super().__init__(session, names)

    def create(self) -> None:
        """Create the schema and its tables, all or nothing."""
        with self.session.transaction():
            self.session.run(self.creation)
            self.add_heartbeat(self.names.stream(1))

    def add_heartbeat(self, stream: Stream) -> None:
        """Add a stream's part of the heartbeat table, if it is not there; call it in a transaction."""
        part = sql.Identifier(self.names.schema, stream.heartbeat)
        if self.session.value(FIND_HEARTBEAT, [part.as_string()]) is None:
            schema = sql.Identifier(self.names.schema)
            number = sql.Literal(stream.number)
            self.session.run(sql.SQL(ADD_HEARTBEAT).format(part=part, schema=schema, number=number))

    def drop(self) -> None:
        """Drop the schema; only ever called on one that is ours."""
        self.session.run(self.removal)

    def record(self, event: str, detail: dict[str, Any]) -> None:
        """Write what happened; commits with the surrounding transaction, if there is one."""
        self.session.run(self.query(RECORD), [event, json.dumps(detail, default=str, ensure_ascii=False)])

    def forget(self, event: str) -> None:
        """Take an event out of the journal."""
        self.session.run(self.query(FORGET), [event])

    def run(self, query: str, params: list[Any] | None = None, *, often: bool = False) -> int:
        """Run a statement over our tables (``{schema}``)."""
        return self.session.run(self.query(query), params, often=often)
