"""The store's revisions: found, upgraded, refused."""

from __future__ import annotations

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from migrator.errors import StoreTooNew
from migrator.store import schema
from migrator.store.database import open_engine, reading, writing
from migrator.store.journal import Journal
from migrator.store.models import metadata
from tests.test_store_fixtures import plan

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

pytest_plugins = ["tests.test_store_fixtures"]

SCRIPTS = Path(str(files("migrations_state")))

REBUILD = """
import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"

def upgrade():
    with op.batch_alter_table("migration", recreate="auto") as table:
        table.alter_column("key", new_column_name="renamed")

def downgrade():
    pass
"""


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    engine = open_engine(store_url, create=True)
    schema.upgrade(engine)
    yield engine
    engine.dispose()


def scripts(connection: Connection) -> ScriptDirectory:
    with schema.alembic_config(connection) as config:
        return ScriptDirectory.from_config(config)


def differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(connection, opts={"compare_type": True})
    return list(compare_metadata(context, metadata))


def test_an_upgraded_store_equals_the_models(engine: Engine) -> None:
    with reading(engine) as connection:
        assert differences(connection) == []


def test_the_newest_script_is_the_revision_that_is_written_down(engine: Engine) -> None:
    with reading(engine) as connection:
        assert scripts(connection).get_heads() == [schema.HEAD]


def test_a_script_is_named_after_its_revision(engine: Engine) -> None:
    with reading(engine) as connection:
        for script in scripts(connection).walk_revisions():
            name = Path(script.path).name
            assert re.fullmatch(rf"{script.revision}_[a-z][a-z0-9_]*\.py", name)
            assert re.fullmatch(r"\d{4}", script.revision)


def test_every_revision_goes_back_and_forth(engine: Engine) -> None:
    with reading(engine) as connection:
        revisions = [script.revision for script in scripts(connection).walk_revisions()]
    for revision in revisions:
        with schema.exclusive(engine) as connection, schema.alembic_config(connection) as config:
            command.downgrade(config, f"{revision}-1")
            command.upgrade(config, revision)
            command.downgrade(config, f"{revision}-1")
    with reading(engine) as connection:
        assert inspect(connection).get_table_names() == ["alembic_version"]
    schema.upgrade(engine)
    with reading(engine) as connection:
        assert differences(connection) == []


def test_a_newer_store_is_refused_and_left_alone(store_url: str, engine: Engine) -> None:
    with writing(engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreTooNew, match=r"revision 9999.* knows revisions up to") as caught:
        Journal.open(store_url)
    assert caught.value.exit_code == 3
    assert caught.value.hint == "upgrade migrator"
    with reading(engine) as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).one() == ("9999",)


def test_first_runs_at_once_all_succeed(store_url: str) -> None:
    program = (
        "import sys; from migrator.store.journal import Journal\n"
        "print(flush=True)\n"
        "sys.stdin.readline()\n"
        "with Journal.open(sys.argv[1], create=True) as journal: print(journal.names())"
    )
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", program, store_url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(6)
    ]
    for run in runs:
        assert run.stdout is not None
        run.stdout.readline()
    for run in runs:
        assert run.stdin is not None
        run.stdin.write("\n")
        run.stdin.flush()
    assert [run.communicate()[0] for run in runs] == ["[]\n"] * 6


def test_an_older_store_is_copied_aside_and_keeps_its_rows(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(store_url, create=True) as journal:
        migration = plan(journal).id
        journal.begin(migration, "copy_schema", "pin_servers", "apply")
    newer = tmp_path / "newer scripts %"
    shutil.copytree(SCRIPTS, newer)
    (newer / "versions" / "0005_rename.py").write_text(REBUILD)
    monkeypatch.setattr(schema, "files", lambda _package: newer)
    monkeypatch.setattr(schema, "HEAD", "0005")
    engine = open_engine(store_url, create=False)
    schema.upgrade(engine)
    with reading(engine) as connection:
        assert connection.execute(text("SELECT renamed FROM migration")).all() == [("m_0123456789",)]
        assert connection.execute(text("SELECT count(*) FROM attempt")).scalar() == 1
        if engine.dialect.name == "sqlite":
            assert connection.execute(text("PRAGMA foreign_keys")).scalar() == 1
    database = engine.url.database
    engine.dispose()
    if store_url.startswith("sqlite"):
        copy = Path(f"{database}.before-0005")
        assert stat.S_IMODE(copy.stat().st_mode) == 0o600
        with sqlite3.connect(copy) as connection:
            assert connection.execute("SELECT key FROM migration").fetchall() == [("m_0123456789",)]
        connection.close()


def test_an_upgrade_that_fails_leaves_the_store_as_it_was(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(store_url, create=True) as journal:
        plan(journal)
    broken = tmp_path / "broken"
    shutil.copytree(SCRIPTS, broken)
    (broken / "versions" / "0005_rename.py").write_text(
        REBUILD.replace("    pass", "    pass\n").replace(
            'name="renamed")', 'name="renamed")\n    op.execute("no such statement")'
        )
    )
    with monkeypatch.context() as patch:
        patch.setattr(schema, "files", lambda _package: broken)
        patch.setattr(schema, "HEAD", "0005")
        with pytest.raises(Exception, match="syntax"):
            Journal.open(store_url)
    with Journal.open(store_url) as journal:
        assert journal.load("m").key == "m_0123456789"


def test_a_store_that_is_up_to_date_is_opened_without_alembic(store_url: str) -> None:
    Journal.open(store_url, create=True).close()
    program = (
        "import sys; from migrator.store.journal import Journal\n"
        "Journal.open(sys.argv[1]).close()\n"
        "print('alembic' in sys.modules)"
    )
    command_line = [sys.executable, "-c", program, store_url]
    assert subprocess.check_output(command_line, text=True) == "False\n"
