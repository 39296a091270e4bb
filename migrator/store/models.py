"""The tables of the state store; nothing outside ``migrator.store`` sees these classes.

A change here needs a new file in ``migrations_state/versions``; a test compares the two.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    Text,
    TypeDecorator,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


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


class Base(DeclarativeBase):
    """The root of all tables."""

    metadata = MetaData(
        naming_convention={
            "pk": "pk_%(table_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        str: Text,
        datetime: Moment,
        dict[str, Any]: JSON,
        list[str]: JSON,
    }


def now() -> datetime:
    """Return the present moment in UTC."""
    return datetime.now(UTC)


class Migration(Base):
    """One migration: its state, and the two servers it is pinned to."""

    __tablename__ = "migration"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    state: Mapped[str]
    key: Mapped[str]
    source_system_identifier: Mapped[str]
    source_timeline: Mapped[int]
    source_database: Mapped[str]
    source_version: Mapped[int]
    destination_system_identifier: Mapped[str]
    destination_timeline: Mapped[int]
    destination_database: Mapped[str]
    destination_version: Mapped[int]
    workflow: Mapped[str]
    table_list: Mapped[list[str]]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Attempt(Base):
    """One run of a step, or one move of the state (kind ``state``)."""

    __tablename__ = "attempt"
    __table_args__ = (Index(None, "migration_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    migration_id: Mapped[int] = mapped_column(ForeignKey("migration.id"))
    transition: Mapped[str]
    step: Mapped[str]
    kind: Mapped[str]
    outcome: Mapped[str]
    found: Mapped[str] = mapped_column(default="")
    evidence: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error: Mapped[dict[str, Any]] = mapped_column(default=dict)
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    host: Mapped[str]
    pid: Mapped[int]
    version: Mapped[str]


class TableCopy(Base):
    """How far the initial copy of one chunk of one table is."""

    __tablename__ = "table_copy"

    migration_id: Mapped[int] = mapped_column(ForeignKey("migration.id"), primary_key=True)
    table_name: Mapped[str] = mapped_column(primary_key=True)
    chunk: Mapped[int] = mapped_column(Integer, primary_key=True, default=0)
    state: Mapped[str]
    rows: Mapped[int] = mapped_column(BigInteger, default=0)
    bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    estimated_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    error: Mapped[str] = mapped_column(default="")


class Sample(Base):
    """One measurement of lag or progress."""

    __tablename__ = "sample"
    __table_args__ = (Index(None, "migration_id", "kind", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    migration_id: Mapped[int] = mapped_column(ForeignKey("migration.id"))
    at: Mapped[datetime] = mapped_column(default=now)
    kind: Mapped[str]
    values: Mapped[dict[str, Any]]


class Finding(Base):
    """One result of the newest preflight."""

    __tablename__ = "finding"
    __table_args__ = (Index(None, "migration_id", "id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    migration_id: Mapped[int] = mapped_column(ForeignKey("migration.id"))
    at: Mapped[datetime] = mapped_column(default=now)
    check: Mapped[str]
    severity: Mapped[str]
    subject: Mapped[str]
    message: Mapped[str]
    fix: Mapped[str]


class LeaseRow(Base):
    """Who works on a migration now."""

    __tablename__ = "lease"

    migration_id: Mapped[int] = mapped_column(
        ForeignKey("migration.id"), primary_key=True, autoincrement=False
    )
    token: Mapped[str]
    host: Mapped[str]
    pid: Mapped[int]
    process_start: Mapped[str] = mapped_column(default="")
    operator: Mapped[str]
    command: Mapped[str]
    since: Mapped[datetime] = mapped_column(default=now)
    heartbeat: Mapped[datetime] = mapped_column(default=now)
