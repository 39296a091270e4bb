"""What each PostgreSQL version can do: one row per fact, with the version that brought it.

Ask ``server.has(Feature.X)``; nothing else in migrator compares version numbers.
"""

from __future__ import annotations

from enum import Enum


class Feature(Enum):
    """A capability and the first ``server_version_num`` that has it (release notes of that version)."""

    LOGICAL_REPLICATION = 100000
    GENERATED_COLUMNS = 120000
    DATABASE_COLLATION_PROVIDER = 150000
    SLOT_WAL_STATUS = 130000
    TID_RANGE_SCAN = 140000
    IDLE_SESSION_TIMEOUT = 140000.1
    CLIENT_CONNECTION_CHECK = 140000.2
    STREAM_IN_PROGRESS = 140000.3
    PARTITIONED_IN_STATS = 140000.4
    DISABLE_ON_ERROR = 150000.1
    SUBSCRIPTION_STATS = 150000.2
    RUN_AS_OWNER = 160000
    TRANSACTION_TIMEOUT = 170000
    EVENT_TRIGGERS_SETTING = 170000.1
    TRUNCATE_IN_STREAM = 110000
    NOT_VALID_ON_PARTITIONED = 180000

    @property
    def since(self) -> int:
        """Return the first ``server_version_num`` with the feature."""
        return int(self.value)


def has(version: int, feature: Feature) -> bool:
    """Return whether a server of that ``server_version_num`` has the feature."""
    return version >= feature.since


def major_of(version: int) -> int:
    """Return the major version, 10 and later."""
    return version // 10000
