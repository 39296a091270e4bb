"""Move a live PostgreSQL database to another cluster by logical replication."""

__version__ = "0.1.0"
