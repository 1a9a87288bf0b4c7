"""A virtual environment that start.sh finds up to date, and processes that end with their test."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.system.processes import Fleet
from tests.system.starting import ROOT, Start, Started


@pytest.fixture(scope="session")
def venv() -> str:
    """The virtual environment of this test run, which start.sh must find to be up to date."""
    environ = {**os.environ, "VENV": sys.prefix}
    prepare = [str(ROOT / "start.sh"), "--prepare", "test"]
    subprocess.run(prepare, env=environ, check=True, capture_output=True)
    return sys.prefix


@pytest.fixture
def start(venv: str, short_folder: Path) -> Iterator[Start]:
    """Starts start.sh with words; everything is stopped at the end of the test."""
    begun: list[Started] = []

    def begin(*words: str) -> Started:
        begun.append(Started(venv, short_folder, *words))
        return begun[-1]

    yield begin
    for started in reversed(begun):
        started.end()


@pytest.fixture
def fleet(
    venv: str,
    short_folder: Path,
    free_ports: Callable[[int], list[int]],
    request: pytest.FixtureRequest,
) -> Iterator[Fleet]:
    """An empty fleet; what the test starts in it ends with the test, and talks when the test fails."""
    fleet = Fleet(short_folder, venv, free_ports)
    failed_before = request.session.testsfailed
    yield fleet
    fleet.end()
    if request.session.testsfailed > failed_before:
        print(fleet.report())
