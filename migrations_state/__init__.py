"""The Alembic scripts of the state store, run in-process by ``migrator.store.schema``."""
