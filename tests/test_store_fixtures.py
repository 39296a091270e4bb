"""Places for a state store: a SQLite file, and a database on a real PostgreSQL server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from migrator.store.journal import Journal, MigrationRecord, Pin

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = Pin("7301234567890123456", 1, "meta", 150004)
DESTINATION = Pin("7309876543210987654", 1, "meta", 180000)


def plan(journal: Journal, name: str = "m", **changes: Any) -> MigrationRecord:
    plan = {
        "key": "m_0123456789",
        "source": SOURCE,
        "destination": DESTINATION,
        "workflow": "abc",
        "tables": ("public.a", "public.b"),
        "findings": (),
    }
    return journal.create(name, **{**plan, **changes})


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/new/state.db"
    server = request.getfixturevalue("destination_cluster")
    url: str = request.getfixturevalue("new_database")(server)
    return url


@pytest.fixture
def journal(store_url: str) -> Iterator[Journal]:
    with Journal.open(store_url, create=True) as journal:
        yield journal
