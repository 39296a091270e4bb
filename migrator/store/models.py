"""The tables of the state store; nothing outside ``migrator.store`` sees them.

Plain tables: the store never loads an object, and SQLAlchemy's ORM alone would cost every command a
tenth of a second. A change here needs a new file in ``migrations_state/versions``; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    TypeDecorator,
)


class Moment(TypeDecorator[datetime]):
    """A point in time, aware and in UTC on every database; SQLite itself keeps no zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Return the value in UTC; a naive one is refused, because its zone would be a guess."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"a moment needs a time zone: {value!r}")
        moment = value.astimezone(UTC)
        return moment.replace(tzinfo=None) if dialect.name == "sqlite" else moment

    def process_result_value(self, value: datetime | None, _dialect: Dialect) -> datetime | None:
        """Return the stored value as aware UTC, whatever zone the session has."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _column(name: str, kind: Any, *constraints: Any, **options: Any) -> Column[Any]:
    """Return a column that is not null unless it says so."""
    return Column(name, kind, *constraints, **{"nullable": False, **options})


def _of_migration(**options: Any) -> Column[Any]:
    return _column("migration_id", Integer, ForeignKey("migration.id"), **options)


# One migration: its state, and the two servers it is pinned to.
migration = Table(
    "migration",
    metadata,
    _column("id", Integer, primary_key=True),
    _column("name", Text, unique=True),
    _column("state", Text),
    _column("key", Text),
    _column("source_system_identifier", Text),
    _column("source_timeline", Integer),
    _column("source_database", Text),
    _column("source_version", Integer),
    _column("destination_system_identifier", Text),
    _column("destination_timeline", Integer),
    _column("destination_database", Text),
    _column("destination_version", Integer),
    _column("workflow", Text),
    _column("table_list", JSON),
    _column("created_at", Moment, default=now),
    _column("updated_at", Moment, default=now, onupdate=now),
)
# One run of a step, or one move of the state (kind ``state``).
attempt = Table(
    "attempt",
    metadata,
    _column("id", Integer, primary_key=True),
    _of_migration(),
    _column("transition", Text),
    _column("step", Text),
    _column("kind", Text),
    _column("outcome", Text),
    _column("found", Text, default=""),
    _column("evidence", JSON, default=dict),
    _column("error", JSON, default=dict),
    _column("started_at", Moment, default=now),
    _column("finished_at", Moment, nullable=True),
    _column("host", Text),
    _column("pid", Integer),
    _column("version", Text),
    Index(None, "migration_id", "id"),
)
# How far the initial copy of one chunk of one table is.
table_copy = Table(
    "table_copy",
    metadata,
    _of_migration(primary_key=True),
    _column("table_name", Text, primary_key=True),
    _column("chunk", Integer, primary_key=True, default=0),
    _column("state", Text),
    _column("rows", BigInteger, default=0),
    _column("bytes", BigInteger, default=0),
    _column("estimated_bytes", BigInteger, default=0),
    _column("started_at", Moment, nullable=True),
    _column("finished_at", Moment, nullable=True),
    _column("error", Text, default=""),
)
# One measurement of lag or progress.
sample = Table(
    "sample",
    metadata,
    _column("id", Integer, primary_key=True),
    _of_migration(),
    _column("at", Moment, default=now),
    _column("kind", Text),
    _column("values", JSON),
    Index(None, "migration_id", "kind", "id"),
)
# One result of the newest preflight.
finding = Table(
    "finding",
    metadata,
    _column("id", Integer, primary_key=True),
    _of_migration(),
    _column("at", Moment, default=now),
    _column("check", Text),
    _column("severity", Text),
    _column("subject", Text),
    _column("message", Text),
    _column("fix", Text),
    _column("on", Text, default=""),
    _column("waived", Text, default=""),
    Index(None, "migration_id", "id"),
)
# A finding, by the code of its check or as code:subject, that somebody goes on with, and why.
waiver = Table(
    "waiver",
    metadata,
    _of_migration(primary_key=True, autoincrement=False),
    _column("code", Text, primary_key=True),
    _column("reason", Text),
    _column("operator", Text),
    _column("at", Moment, default=now),
)
# One comparison of rows: of what (tables, direction, how), and what it came to; ``counts`` are of tables by
# verdict and of rows.
comparison = Table(
    "comparison",
    metadata,
    _column("id", Integer, primary_key=True),
    _of_migration(),
    _column("subject", Text),
    _column("stream", Text, default=""),
    _column("how", Text, default=""),
    _column("patterns", JSON, default=list),
    _column("verdict", Text, default=""),
    _column("counts", JSON, default=dict),
    _column("lsn", Text, default=""),
    _column("started_at", Moment, default=now),
    _column("finished_at", Moment, nullable=True),
    Index(None, "migration_id", "id"),
)
# A table, or a range of its key, that is compared; what the table was then, so that a changed one is told.
comparison_unit = Table(
    "comparison_unit",
    metadata,
    _column("comparison_id", Integer, ForeignKey("comparison.id"), primary_key=True, autoincrement=False),
    _column("table_name", Text, primary_key=True),
    _column("number", Integer, primary_key=True, autoincrement=False),
    _column("definition", Text),
    _column("bounds", JSON),
    _column("outcome", JSON),
)
# What the newest comparison of a table came to, or the switchover's proof, which belongs to none; which rows
# it could not decide, by their keys or hashes.
compared_table = Table(
    "compared_table",
    metadata,
    _of_migration(primary_key=True, autoincrement=False),
    _column("table_name", Text, primary_key=True),
    _column("comparison_id", Integer, ForeignKey("comparison.id"), nullable=True),
    _column("verdict", Text),
    _column("how", Text),
    _column("different", BigInteger),
    _column("moving", JSON),
    _column("at", Moment, default=now),
)
# Who works on a migration now.
lease = Table(
    "lease",
    metadata,
    _of_migration(primary_key=True, autoincrement=False),
    _column("token", Text),
    _column("host", Text),
    _column("pid", Integer),
    _column("process_start", Text, default=""),
    _column("operator", Text),
    _column("command", Text),
    _column("since", Moment, default=now),
    _column("heartbeat", Moment, default=now),
)
