"""The wheel, installed alone: with --packaging, because it needs the package index."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from migrator.demo.servers import work_directory
from tests.fixtures.project import clean_environment

ROOT = Path(__file__).parent.parent
SHIPPED = {
    "migrator/demo/sample.sql",
    "migrator/manual/templates/README.html.j2",
    "migrator/manual/templates/README.md.j2",
    "migrator/manual/templates/activate.j2",
    "migrator/manual/templates/script.j2",
    "migrator/py.typed",
    "migrations_state/env.py",
    "migrations_state/script.py.mako",
    "migrations_state/versions/0001_initial.py",
    "migrations_state/versions/0002_waivers.py",
}


def run(*words: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        words, cwd=cwd, env=clean_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.timeout(900)
def test_the_wheel_alone_runs_the_demo(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    if not pytestconfig.getoption("--packaging"):
        pytest.skip("give --packaging: it builds the wheel and installs it from the package index")
    run(sys.executable, "-m", "pip", "wheel", "-q", ROOT, "--no-deps", "-w", tmp_path, cwd=tmp_path)
    (wheel,) = tmp_path.glob("migrator-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names >= SHIPPED
    assert {name.split("/")[0].split("-")[0] for name in names} == {"migrator", "migrations_state"}

    # Outside pytest's own directory, which only its owner may enter.
    with work_directory("migrator-wheel") as elsewhere:
        run(sys.executable, "-m", "venv", elsewhere / "venv", cwd=elsewhere)
        programs = elsewhere / "venv" / "bin"
        run(programs / "pip", "install", "-q", f"{wheel}[demo]", cwd=elsewhere)
        where = run(programs / "python", "-c", "import migrator; print(migrator.__file__)", cwd=elsewhere)
        assert Path(where).is_relative_to(elsewhere)
        run(programs / "pip", "check", cwd=elsewhere)
        told = run(programs / "migrator", "demo", cwd=elsewhere)
        assert told.startswith("cleaned in ")
        assert "all equal" in told
