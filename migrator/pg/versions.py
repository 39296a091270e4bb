"""What each PostgreSQL version can do: one row per fact, with the version that brought it.

Ask ``server.has(Feature.X)``; nothing else in migrator compares version numbers.
"""

from __future__ import annotations

from enum import Enum, auto


class Feature(Enum):
    """A capability that not every version has."""

    ABSOLUTE_FILE_PATHS = auto()
    ANALYZE_SEVERAL = auto()
    CLIENT_CONNECTION_CHECK = auto()
    COVERING_INDEXES = auto()
    DATABASE_LOCALE_PROVIDER = auto()
    DROP_DATABASE_BY_FORCE = auto()
    EVENT_TRIGGERS_SETTING = auto()
    EXTENDED_HASHES = auto()
    FULL_IDENTITY_BY_BTREE = auto()
    FULL_IDENTITY_BY_HASH = auto()
    GENERATED_COLUMNS = auto()
    GRANT_OPTIONS = auto()
    IDENTITY_OF_PARTITIONS = auto()
    IDENT_VIEW = auto()
    IDLE_SESSION_TIMEOUT = auto()
    INDEX_PROGRESS = auto()
    JIT = auto()
    LOGICAL_REPLICATION = auto()
    MAINTAIN_PRIVILEGE = auto()
    MULTIRANGES = auto()
    NAMED_NOT_NULL = auto()
    NOT_VALID_ON_PARTITIONED = auto()
    NO_OIDS = auto()
    NO_POSTFIX_OPERATORS = auto()
    PARALLEL_INDEX_BUILD = auto()
    PARALLEL_STREAM = auto()
    PARTITIONED_FOREIGN_KEYS = auto()
    RECORD_HASHES = auto()
    REINDEX_CONCURRENTLY = auto()
    RUN_AS_OWNER = auto()
    SAFE_SEARCH_PATH = auto()
    SCHEMA_PUBLICATIONS = auto()
    SET_ACCESS_METHOD = auto()
    SHORTEST_FLOATS = auto()
    SQL_BODIES = auto()
    STREAM_IN_PROGRESS = auto()
    SUBSCRIPTION_STATS = auto()
    TABLE_ACCESS_METHODS = auto()
    TCP_USER_TIMEOUT = auto()
    TID_RANGE_SCAN = auto()
    TOAST_COMPRESSION = auto()
    TRANSACTION_TIMEOUT = auto()
    TRIGGERS_SAY_FUNCTION = auto()
    TRUNCATE_IN_STREAM = auto()
    UNLOGGED_SEQUENCES = auto()
    UNQUALIFIED_VIEWS = auto()


# The first server_version_num that has it, from that version's release notes.
SINCE: dict[Feature, int] = {
    Feature.LOGICAL_REPLICATION: 100000,
    Feature.ABSOLUTE_FILE_PATHS: 110000,
    Feature.ANALYZE_SEVERAL: 110000,
    Feature.COVERING_INDEXES: 110000,
    Feature.EXTENDED_HASHES: 110000,
    Feature.JIT: 110000,
    Feature.PARALLEL_INDEX_BUILD: 110000,
    Feature.PARTITIONED_FOREIGN_KEYS: 110000,
    Feature.TRUNCATE_IN_STREAM: 110000,
    Feature.GENERATED_COLUMNS: 120000,
    Feature.INDEX_PROGRESS: 120000,
    Feature.NO_OIDS: 120000,
    Feature.REINDEX_CONCURRENTLY: 120000,
    Feature.SHORTEST_FLOATS: 120000,
    Feature.TABLE_ACCESS_METHODS: 120000,
    Feature.TCP_USER_TIMEOUT: 120000,
    Feature.TRIGGERS_SAY_FUNCTION: 120000,
    Feature.DROP_DATABASE_BY_FORCE: 130000,
    Feature.CLIENT_CONNECTION_CHECK: 140000,
    Feature.IDLE_SESSION_TIMEOUT: 140000,
    Feature.MULTIRANGES: 140000,
    Feature.NO_POSTFIX_OPERATORS: 140000,
    Feature.RECORD_HASHES: 140000,
    Feature.SQL_BODIES: 140000,
    Feature.STREAM_IN_PROGRESS: 140000,
    Feature.TID_RANGE_SCAN: 140000,
    Feature.TOAST_COMPRESSION: 140000,
    Feature.DATABASE_LOCALE_PROVIDER: 150000,
    Feature.IDENT_VIEW: 150000,
    Feature.SCHEMA_PUBLICATIONS: 150000,
    Feature.SET_ACCESS_METHOD: 150000,
    Feature.SUBSCRIPTION_STATS: 150000,
    Feature.UNLOGGED_SEQUENCES: 150000,
    Feature.FULL_IDENTITY_BY_BTREE: 160000,
    Feature.GRANT_OPTIONS: 160000,
    Feature.PARALLEL_STREAM: 160000,
    Feature.RUN_AS_OWNER: 160000,
    Feature.UNQUALIFIED_VIEWS: 160000,
    Feature.EVENT_TRIGGERS_SETTING: 170000,
    Feature.FULL_IDENTITY_BY_HASH: 170000,
    Feature.IDENTITY_OF_PARTITIONS: 170000,
    Feature.MAINTAIN_PRIVILEGE: 170000,
    Feature.SAFE_SEARCH_PATH: 170000,
    Feature.TRANSACTION_TIMEOUT: 170000,
    Feature.NAMED_NOT_NULL: 180000,
    Feature.NOT_VALID_ON_PARTITIONED: 180000,
}


def has(version: int, feature: Feature) -> bool:
    """Return whether a server of that ``server_version_num`` has the feature."""
    return version >= SINCE[feature]


def major_of(version: int) -> int:
    """Return the major version, 10 and later."""
    return version // 10000
