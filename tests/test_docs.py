"""What the documentation says is what the program does."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from migrator import check, config, errors, step
from migrator.cli.explain import all_manuals
from migrator.cli.main import COMMANDS, run
from migrator.workflow import EVERY_STEP, REFRESH, STATES, TRANSITIONS, diagram

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_is_generated_is_up_to_date(generate: ModuleType) -> None:
    old = [path.name for path, text in generate.generated().items() if path.read_text("utf-8") != text]
    assert not old, "run: python docs/generate.py"


def test_the_readme_draws_the_machine() -> None:
    assert f"```mermaid\n{diagram()}```" in README


def test_the_readme_lists_every_exit_code_with_its_errors() -> None:
    rows = dict(re.findall(r"^\| (\d+) \| .*? \|(.*)\|$", README, re.MULTILINE))
    assert list(rows) == ["0", "1", "2", "3", "4", "5", "6", "130"]
    for name, kind in vars(errors).items():
        is_leaf = isinstance(kind, type) and issubclass(kind, errors.MigratorError)
        if is_leaf and not any(k.__module__ == errors.__name__ for k in kind.__subclasses__()):
            assert f"`{name}`" in rows[str(kind.exit_code)]


def test_the_errors_own_tree_names_every_error() -> None:
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.MigratorError):
            assert re.search(rf"\b{name}\b", errors.__doc__ or "")


@pytest.mark.parametrize("command", COMMANDS)
def test_the_readme_mentions_every_command(command: str) -> None:
    assert f"`migrator {command}" in README


def test_the_readmes_configuration_is_accepted(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```toml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    file = tmp_path / "migrator.toml"
    file.write_text(example, encoding="utf-8")
    assert config.load(file).config.migration.name == "shop"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", document.read_text(encoding="utf-8")):
        assert (document.parent / target).exists(), target


NAMES = [*STATES, *(t.name for t in TRANSITIONS), REFRESH.name, *EVERY_STEP, *check.load_all()]


@pytest.mark.parametrize("name", list(dict.fromkeys(map(str, NAMES))))
def test_every_name_is_explained(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain", name]) == 0
    told = capsys.readouterr().out
    assert told.startswith(f"{name}  (")
    assert len(told.split()) > 10
    assert max(map(len, told.splitlines())) <= 110
    assert run(["explain", name, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == name


def test_every_name_is_listed_with_its_first_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["explain"]) == 0
    told = capsys.readouterr().out
    for manual in all_manuals():
        assert f"  {manual.name} " in told
        assert manual.first_sentence.endswith(".")


@pytest.mark.parametrize("name", EVERY_STEP)
def test_every_step_has_all_headings_in_order(generate: ModuleType, name: str) -> None:
    text = generate.docstring(step.load_step(name))
    found = [line.split(":")[0] for line in text.splitlines() if line.startswith(generate.STEP_HEADINGS)]
    assert tuple(found) == generate.STEP_HEADINGS


@pytest.mark.parametrize("name", check.load_all())
def test_every_check_has_all_headings_in_order(generate: ModuleType, name: str) -> None:
    text = check.load_all()[name].manual
    found = [line.split(":")[0] for line in text.splitlines() if line.startswith(generate.CHECK_HEADINGS)]
    # The last one is there where there is such a case.
    assert tuple(found) in (generate.CHECK_HEADINGS, generate.CHECK_HEADINGS[:-1])
