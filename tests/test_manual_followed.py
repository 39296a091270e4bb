"""The old manual, line by line, in a shell: a context is activated, its scripts run one after the other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from migrator.demo.proof import compare
from migrator.demo.transactions import create_ledger
from tests.fixtures import small
from tests.fixtures.findings import execute
from tests.fixtures.project import clean_environment, run_migrator
from tests.fixtures.servers import connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrator.demo.writer import Writer

SCHEMA = (
    'create table "Items" (id serial primary key, name text)',
    "insert into \"Items\" (name) select 'item ' || g from generate_series(1, 500) g",
    "create table log (line text)",
    "insert into log values ('first'), ('second')",
)
# What disable-src ends, re-routing leads elsewhere; a person would point the application there.
BEFORE = """
set -e
cd {context}
. ./activate > activated.txt
./check-user > users.yml
./check-db --empty > databases.yml
./check-hba > rules.yml
! ./check-repl
./check-repl --apply --yes
./check-misc
./copy-schema --yes
./create-pub --yes
./create-sub --yes
./copy-progress
./copy-diff --rounds 1
./copy-seq 1000 --yes
"""
CUTOVER = """
set -e
. {context}/activate > /dev/null
./disable-src --yes
./re-routing --yes
"""
AFTER = """
set -e
. {context}/activate > /dev/null
./copy-diff
./drop-sub --yes
./drop-pub --yes
migrator status
"""


def test_the_old_manual_followed_line_by_line_under_a_writer(
    source_database: str, destination_database: str, tmp_path: Path, writer: Callable[..., Writer]
) -> None:
    execute(source_database, *SCHEMA)
    create_ledger(source_database)
    place = ["--source-cluster", "pg-old", "--destination-cluster", "pg-new", "--context-dir", str(tmp_path)]
    run_migrator("init", "--source", source_database, "--destination", destination_database, *place)
    (context,) = (path.parent for path in tmp_path.glob("*/migrator.toml"))
    urls = [source_database]
    client = writer(lambda: urls[-1], sessions=2, per_second=50.0)

    shell(BEFORE, context)
    assert (context / "activated.txt").read_text().startswith(f"context  {context.name}\n")
    urls.append(destination_database)
    shell(CUTOVER, context)
    client.wait_for(5)
    said = shell(AFTER, context)

    assert f"{context.name}  cleaned" in said
    client.stop()
    assert {commit.url for commit in client.commits} == set(urls)
    with connect(destination_database) as connection:
        found = {token for (token,) in connection.execute("select token from ledger")}
    assert client.acknowledged <= found
    assert compare(source_database, destination_database, set_aside={"public.ledger": found}) == []
    assert small.leftovers(source_database, destination_database) == []


def shell(script: str, context: Path) -> str:
    """Run lines in a shell that finds this migrator; return what they said."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-c", script.format(context=context)],
        capture_output=True,
        text=True,
        env=clean_environment() | {"PATH": path},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
