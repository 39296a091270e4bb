"""Load the fixtures, say which servers the run uses, and show their logs when a test fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from migrator.demo.binaries import find_binaries, server_version
from migrator.errors import ConfigError

if TYPE_CHECKING:
    import pytest

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.project",
    "tests.fixtures.findings",
    "tests.fixtures.road",
    "tests.fixtures.routers",
    "tests.fixtures.writer",
    "tests.fixtures.network",
    "tests.fixtures.stage",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("migrator")
    group.addoption("--source-major", type=int, default=17, help="major version of the source")
    group.addoption("--need-routers", action="store_true", help="fail where pgbouncer or haproxy is missing")
    group.addoption("--all-faults", action="store_true", help="interrupt steps at every point")
    group.addoption("--destination-major", type=int, default=18, help="… of the destination")
    group.addoption("--packaging", action="store_true", help="install the wheel elsewhere and try it")
    group.addoption("--crashes", action="store_true", help="strike with every fault at every moment")
    group.addoption(
        "--streams", type=int, default=1, help="by how many streams tests/test_step_laws.py migrates"
    )
    group.addoption(
        "--switchovers", action="store_true", help="kill and strike a switchover at every point, both ways"
    )
    group.addoption("--kills", type=int, default=10, help="how often tests/test_kill.py kills a run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the largest files, so that no worker is left with one when the others are done."""
    items.sort(key=lambda item: -item.path.stat().st_size)


def pytest_report_header(config: pytest.Config) -> list[str]:
    lines = []
    for side in ("source", "destination"):
        try:
            binaries = find_binaries(config.getoption(f"--{side}-major"))
        except ConfigError as error:
            lines.append(f"{side}: {error.message}")
        else:
            lines.append(f"{side}: PostgreSQL {server_version(binaries)} in {binaries}")
    return lines
